"""json and plaintext over https: what is trusted, who we are, and that the config counts more than the environment."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from balancer.backend import BackendSpec
from discovery.contract import DiscoveryError
from discovery.json import Json, JsonOptions
from discovery.plaintext import Plaintext, PlaintextOptions
from tests.integration.conftest import Serve
from tests.services.apt import Unavailable
from tests.services.certificates import Authority, Certificate
from tests.services.nginx import Nginx
from tests.services.ports import free_port

_SECURE = """
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {certificate.certificate};
    ssl_certificate_key {certificate.key};
    ssl_client_certificate {ca};
    ssl_verify_client optional;
    root {root};
    location / {{ auth_basic "registry"; auth_basic_user_file {passwords}; }}
    location /mutual/ {{
      if ($ssl_client_verify != SUCCESS) {{ return 403; }}
      alias {root}/;
    }}
  }}
}}
"""


class SecureNginx(Nginx):
    """Also serves its files by TLS, to `balancer` with the password `s3cret`; under /mutual/, to certified clients."""

    def __init__(self, authority: Authority, certificate: Certificate) -> None:
        super().__init__()
        self._authority = authority
        self._certificate = certificate
        self.secure_port = free_port()

    def command(self) -> Sequence[str | Path]:
        command = super().command()
        passwords = self.folder / "passwords"
        passwords.write_text("balancer:{PLAIN}s3cret\n")
        config = self.folder / "nginx.conf"
        secure = _SECURE.format(
            port=self.secure_port,
            certificate=self._certificate,
            ca=self._authority.ca,
            root=self.root,
            passwords=passwords,
        )
        config.write_text(config.read_text().rstrip().removesuffix("}") + secure)
        return command


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    try:
        return Authority(tmp_path)
    except Unavailable as reason:
        pytest.skip(str(reason))


@pytest.fixture
def server(serve: Serve, authority: Authority) -> SecureNginx:
    server = serve(SecureNginx(authority, authority.issue("registry.test")))
    server.write("backends", b'[{"host": "a", "port": 80}]')
    server.write("backends.txt", b"a:80")
    return server


async def fetch(server: SecureNginx, path: str = "backends", host: str = "127.0.0.1", **options: Any) -> str:
    """ "ok" by json and by plaintext, or why not: both say the same."""
    endpoint = f"https://{host}:{server.secure_port}/{path}"

    def keys(kind: str, endpoint: str) -> dict[str, Any]:
        given = {"endpoint": endpoint, "auth_username": "balancer", "auth_password": "s3cret", **options}
        return {"kind": kind, **{f"{kind}_{key}": value for key, value in given.items()}}

    said = await _fetch(Json(JsonOptions.model_validate(keys("json", endpoint))))
    also = await _fetch(Plaintext(PlaintextOptions.model_validate(keys("plaintext", f"{endpoint}.txt"))))
    assert also.replace(".txt", "") == said
    return said


async def _fetch(discovery: Json | Plaintext) -> str:
    try:
        assert await discovery.fetch() == [BackendSpec("a", 80)]
    except DiscoveryError as error:
        return str(error)
    finally:
        await discovery.close()
    return "ok"


async def test_only_what_the_given_authority_signed_is_trusted(server: SecureNginx, authority: Authority) -> None:
    assert await fetch(server, tls_cacert_path=str(authority.ca)) == "ok"
    assert "its certificate is refused" in await fetch(server)
    assert await fetch(server, tls_ignore_verify=True) == "ok"


async def test_the_authority_of_the_config_counts_more_than_the_environment(
    server: SecureNginx, authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    other = Authority(tmp_path / "other")
    for name in "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE":
        monkeypatch.setenv(name, str(other.ca))
    assert await fetch(server, tls_cacert_path=str(authority.ca)) == "ok"
    for name in "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE":
        monkeypatch.setenv(name, str(authority.ca))
    assert "its certificate is refused" in await fetch(server, tls_cacert_path=str(other.ca))


async def test_a_certificate_for_another_host_is_refused(server: SecureNginx, authority: Authority) -> None:
    assert "ostname mismatch" in await fetch(server, host="localhost", tls_cacert_path=str(authority.ca))


async def test_we_show_our_certificate_where_asked(server: SecureNginx, authority: Authority) -> None:
    trusting = {"tls_cacert_path": str(authority.ca)}
    assert (await fetch(server, "mutual/backends", **trusting)).endswith("answered 403 Forbidden")
    ours = authority.issue("balancer")
    files = {"tls_cert_path": str(ours.certificate), "tls_key_path": str(ours.key)}
    assert await fetch(server, "mutual/backends", **trusting, **files) == "ok"


async def test_a_wrong_password_is_a_failure_that_does_not_show_it(server: SecureNginx, authority: Authority) -> None:
    reason = await fetch(server, tls_cacert_path=str(authority.ca), auth_password="wr0ng")
    assert reason.endswith("/backends answered 401 Unauthorized")
    assert "wr0ng" not in reason


async def test_a_renewed_certificate_of_ours_is_read_after_a_failure(server: SecureNginx, authority: Authority) -> None:
    """No restart is needed: the files are read again with the next session."""
    ours = authority.issue("balancer")
    certificate = ours.certificate.read_bytes()
    options = {
        "kind": "json",
        "json_endpoint": f"https://127.0.0.1:{server.secure_port}/mutual/backends",
        "json_tls_cacert_path": str(authority.ca),
        "json_tls_cert_path": str(ours.certificate),
        "json_tls_key_path": str(ours.key),
    }
    discovery = Json(JsonOptions.model_validate(options))
    ours.certificate.write_bytes(b"half of")
    with pytest.raises(DiscoveryError, match=f"cannot load the certificate {ours.certificate}"):
        await discovery.fetch()
    ours.certificate.write_bytes(certificate)
    assert await discovery.fetch() == [BackendSpec("a", 80)]
    await discovery.close()
