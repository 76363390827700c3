"""Certificates of a real ACME authority, Pebble, which refuses some nonces as its kin may: ordered, served, renewed."""

import json
import re
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import tomlkit

from tests.integration.conftest import Serve
from tests.integration.reloads import Echo, answers, eventually, reload, server
from tests.services import apt
from tests.services.balancer import Balancer
from tests.services.jsonapi import JsonApi
from tests.services.pebble import ChallengeServer, Pebble
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

ONE, TWO = "one.example.test", "two.example.test"

CONFIGS = Path(__file__).parents[2] / "configs"

MAC_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"

RENEWED = 15
"""Seconds that a certificate is valid which is to be renewed while a test waits: 9 to 10 s after its issue."""

both_challenges = pytest.mark.parametrize("challenge", ["http", "tls-alpn"])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def config(pebble: Pebble, cache: Path, *servers: str, challenge: str = "tls-alpn", **keys: object) -> str:
    settings = {
        "challenge": challenge,
        "http_bind": f"{LOOPBACK}:{pebble.http_port}",
        "cache_dir": str(cache),
        "directory_url": pebble.directory,
        "ca_path": str(pebble.authority.ca),
        **{key: value for key, value in keys.items() if not isinstance(value, dict)},
    }
    lines = ["[acme]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
    for name, table in keys.items():
        if isinstance(table, dict):
            lines += [f"[acme.{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
    return "\n".join([*lines, *servers])


def web(pebble: Pebble, echo: Echo, *hosts: str, name: str = "web") -> str:
    """A server where the authority looks for tls-alpn-01."""
    return server(
        name, pebble.tls_port, echo.line, protocol="tls", shutdown_timeout="1s", tls={"acme_hosts": list(hosts)}
    )


@contextmanager
def connect(pebble: Pebble, host: str, root: str = "") -> Iterator[ssl.SSLSocket]:
    """A client that verifies what it is shown, and ends in order."""
    context = ssl.create_default_context(cadata=root or pebble.root())
    plain = socket.create_connection((LOOPBACK, pebble.tls_port), 10)
    with context.wrap_socket(plain, server_hostname=host) as client:
        yield client
        client.unwrap()


def serial(pebble: Pebble, host: str, root: str = "") -> str:
    """Of the certificate that a client is shown for a host, and accepts; "" = there is none that it accepts."""
    try:
        with connect(pebble, host, root) as client:
            assert answers(client)
            return str(client.getpeercert()["serialNumber"])  # type: ignore[index]
    except (ssl.SSLError, ConnectionError):
        return ""


def has_certificate(pebble: Pebble, host: str) -> str:
    eventually(lambda: bool(serial(pebble, host)), 40)
    return serial(pebble, host)


# issue


@both_challenges
def test_a_certificate_is_issued_and_served_without_a_restart(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path, challenge: str
) -> None:
    serve(Balancer(config(pebble, cache, web(pebble, echo, ONE), challenge=challenge)))
    assert has_certificate(pebble, ONE)
    files = [path for path in cache.rglob("*") if path.is_file()]
    assert {path.name for path in files} == {"account.key", f"{ONE}.pem"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


@both_challenges
def test_each_of_several_hosts_has_a_certificate_of_its_own(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path, challenge: str
) -> None:
    serve(Balancer(config(pebble, cache, web(pebble, echo, ONE, TWO), challenge=challenge)))
    assert has_certificate(pebble, ONE) != has_certificate(pebble, TWO)


def test_it_gets_by_with_an_authority_that_refuses_every_third_nonce(serve: Serve, echo: Echo, cache: Path) -> None:
    pebble = serve(Pebble(serve(ChallengeServer()), refused_nonces=33))
    hosts = [f"{number}.example.test" for number in range(6)]
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, *hosts))))
    for host in hosts:
        assert has_certificate(pebble, host)
    assert "no new certificate" not in balancer.log_text()


def test_other_requests_to_the_challenges_are_sent_on_to_https(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path
) -> None:
    serve(Balancer(config(pebble, cache, web(pebble, echo, ONE), challenge="http")))

    def curl(path: str) -> str:
        command = [apt.command("curl", "curl"), "-sS", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}"]
        command += ["-H", f"Host: {ONE}"]
        url = f"http://{LOOPBACK}:{pebble.http_port}{path}"
        return subprocess.run([*command, url], capture_output=True, text=True, check=True, timeout=20).stdout

    assert curl("/shop?item=1") == f"302 https://{ONE}/shop?item=1"
    assert curl("/.well-known/acme-challenge/never-heard-of") == "404 "


def test_an_account_may_be_bound_to_one_outside_of_acme(serve: Serve, echo: Echo, cache: Path) -> None:
    pebble = serve(Pebble(serve(ChallengeServer()), external_accounts={"kid-1": MAC_KEY}))
    account = {"key_id": "kid-1", "hmac_key": MAC_KEY}
    api_port = free_port()
    more = f'[api]\nenabled = true\nbind = "{LOOPBACK}:{api_port}"\n[logging]\nlevel = "debug"\n'
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE), more, external_account=account)))
    assert has_certificate(pebble, ONE)
    assert JsonApi(LOOPBACK, api_port).get("/dump?format=toml").count('hmac_key = "***"') == 1
    assert MAC_KEY not in balancer.log_text()


@pytest.mark.parametrize("key", ["", MAC_KEY[:-4] + "AAAA"])
def test_an_authority_that_wants_another_account_is_told_of(serve: Serve, echo: Echo, cache: Path, key: str) -> None:
    pebble = serve(Pebble(serve(ChallengeServer()), external_accounts={"kid-1": MAC_KEY}))
    keys: dict[str, object] = {"external_account": {"key_id": "kid-1", "hmac_key": key}} if key else {}
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE), **keys)))
    expected = "unauthorized" if key else "this authority wants acme.external_account"
    eventually(lambda: bool(re.search(rf"ERROR.*{ONE}: no new certificate: .*{expected}", balancer.log_text())))
    assert not key or key not in balancer.log_text()


@pytest.mark.parametrize("sample", ["acme.toml", "acme-tls-alpn.toml"])
def test_a_sample_runs(serve: Serve, echo: Echo, cache: Path, sample: str) -> None:
    """As they are, but for addresses, folders and files, which are of this machine."""
    text = tomlkit.parse((CONFIGS / sample).read_text()).unwrap()
    acme, server_table = text["acme"], text["servers"]["web"]
    external = acme.get("external_account")
    accounts = {external["key_id"]: external["hmac_key"]} if external else {}
    pebble = serve(Pebble(serve(ChallengeServer()), external_accounts=accounts))
    acme |= {"directory_url": pebble.directory, "ca_path": str(pebble.authority.ca), "cache_dir": str(cache)}
    if "http_bind" in acme:
        acme["http_bind"] = f"{LOOPBACK}:{pebble.http_port}"
    if "cert_path" in server_table["tls"]:
        own = pebble.authority.issue("example.com")
        server_table["tls"] |= {"cert_path": str(own.certificate), "key_path": str(own.key)}
    server_table["bind"] = f"{LOOPBACK}:{pebble.tls_port}"
    server_table["discovery"]["static_list"] = [echo.line]
    serve(Balancer(tomlkit.dumps(text)))
    for host in server_table["tls"]["acme_hosts"]:
        assert has_certificate(pebble, host)


# what fails does not stop the others


def test_an_authority_that_is_down_stops_no_server_from_starting(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path
) -> None:
    """Clients of a host without a certificate are turned away; when the authority is back, it gets one."""
    port = free_port()
    pebble.stop()
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE), server("plain", port, echo.line))))
    with socket.create_connection((LOOPBACK, port), 10) as client:
        assert answers(client)
    refused = pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME")
    with refused, connect(pebble, ONE, pebble.authority.ca.read_text()):
        pass
    eventually(lambda: f"{ONE}: no new certificate" in balancer.log_text())
    pebble.start()
    assert has_certificate(pebble, ONE)


def test_an_authority_that_never_answers_holds_nothing_up(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path
) -> None:
    port = free_port()
    with socket.create_server((LOOPBACK, 0)) as silent:
        elsewhere = f"https://{LOOPBACK}:{silent.getsockname()[1]}/dir"
        servers = web(pebble, echo, ONE), server("plain", port, echo.line)
        balancer = serve(Balancer(config(pebble, cache, *servers, directory_url=elsewhere)))
        asked, _ = silent.accept()  # and says nothing
        with asked, socket.create_connection((LOOPBACK, port), 10) as client:
            assert answers(client)
            reload(balancer, config(pebble, cache, *servers))
            assert answers(client)
            assert has_certificate(pebble, ONE)
        balancer.stop()
        assert balancer.status == 0


def test_a_host_that_cannot_be_proved_delays_no_other(serve: Serve, pebble: Pebble, echo: Echo, cache: Path) -> None:
    pebble.challenges.api.post("/add-a", {"host": TWO, "addresses": ["127.0.0.2"]})  # where nobody listens
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, TWO, ONE))))
    assert has_certificate(pebble, ONE)
    eventually(lambda: bool(re.search(rf"{TWO}: no new certificate: .*127\.0\.0\.2", balancer.log_text())))
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"), connect(pebble, TWO):
        pass


def test_an_authority_is_trusted_by_ca_path_alone(serve: Serve, pebble: Pebble, echo: Echo, cache: Path) -> None:
    text = config(pebble, cache, web(pebble, echo, ONE))
    balancer = serve(
        Balancer(
            text.replace(f"ca_path = {json.dumps(str(pebble.authority.ca))}\n", ""),
            environment={"REQUESTS_CA_BUNDLE": str(pebble.authority.ca), "SSL_CERT_FILE": "", "SSL_CERT_DIR": ""},
        )
    )
    eventually(lambda: "CERTIFICATE_VERIFY_FAILED" in balancer.log_text())
    reload(balancer, text)
    assert has_certificate(pebble, ONE)


# restart


@pytest.mark.parametrize("how", ["stop", "kill"])
def test_a_restart_orders_nothing_and_serves_at_once_without_the_authority(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path, how: str
) -> None:
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    before, root = has_certificate(pebble, ONE), pebble.root()
    pebble.stop()
    getattr(balancer, how)()
    balancer.start()
    assert serial(pebble, ONE, root) == before
    assert "no certificate" not in balancer.log_text()


def test_the_account_is_used_again(serve: Serve, pebble: Pebble, echo: Echo, cache: Path) -> None:
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    has_certificate(pebble, ONE)
    [key] = cache.rglob("account.key")
    before = key.read_bytes()
    balancer.config.write_text(config(pebble, cache, web(pebble, echo, ONE, TWO)))
    balancer.restart()
    has_certificate(pebble, TWO)
    assert key.read_bytes() == before
    assert pebble.log_text().count("There are now 1 accounts in memory") == 1
    assert "There are now 2 accounts in memory" not in pebble.log_text()


# renewal


@both_challenges
def test_it_is_renewed_while_clients_come_and_stay(serve: Serve, echo: Echo, cache: Path, challenge: str) -> None:
    """No handshake fails meanwhile, and a connection that is open stays so."""
    pebble = serve(Pebble(serve(ChallengeServer()), valid=RENEWED))
    serve(Balancer(config(pebble, cache, web(pebble, echo, ONE), challenge=challenge)))
    first, root = has_certificate(pebble, ONE), pebble.root()
    seen, over = [first], threading.Event()

    def come() -> None:
        while not over.wait(0.01):
            seen.append(serial(pebble, ONE, root))

    clients = threading.Thread(target=come)
    with connect(pebble, ONE, root) as stays:
        clients.start()
        try:
            eventually(lambda: seen[-1] != first)
        finally:
            over.set()
            clients.join()
        assert answers(stays)
    assert len(seen) > 20
    assert "" not in seen
    assert len(set(seen)) == 2


def test_an_authority_that_is_down_when_it_is_time_is_asked_again(serve: Serve, echo: Echo, cache: Path) -> None:
    pebble = serve(Pebble(serve(ChallengeServer()), valid=RENEWED))
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    first, root = has_certificate(pebble, ONE), pebble.root()
    pebble.stop()
    eventually(lambda: bool(re.search(r"WARN.*no new certificate: .*the one until .* is served", balancer.log_text())))
    assert serial(pebble, ONE, root) == first
    pebble.start()
    assert has_certificate(pebble, ONE) != first


def test_certificates_that_are_over_at_once_make_no_loop(serve: Serve, echo: Echo, cache: Path) -> None:
    """Or a clock that is wrong here would use up what an authority allows."""
    pebble = serve(Pebble(serve(ChallengeServer()), valid=1))
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    eventually(lambda: "is as good as over: is this machine's clock right?; again in" in balancer.log_text())


# reload


def test_a_reload_adds_a_host_and_loses_nobody(serve: Serve, pebble: Pebble, echo: Echo, cache: Path) -> None:
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    before = has_certificate(pebble, ONE)
    with connect(pebble, ONE) as client:
        reload(balancer, config(pebble, cache, web(pebble, echo, ONE, TWO)))
        assert has_certificate(pebble, TWO)
        assert serial(pebble, ONE) == before
        assert answers(client)


def test_a_reload_changes_where_certificates_come_from(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path, tmp_path: Path
) -> None:
    """Until another folder holds a certificate, the one from before is served; what does not change is not touched."""
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    before, root = has_certificate(pebble, ONE), pebble.root()
    with connect(pebble, ONE) as client:
        pebble.stop()
        elsewhere = config(pebble, tmp_path / "elsewhere", web(pebble, echo, ONE), challenge="http")
        reload(balancer, elsewhere)
        assert ": reloaded: other sections: acme" in balancer.log_text()
        assert serial(pebble, ONE, root) == before
        pebble.start()
        assert has_certificate(pebble, ONE) != before
        assert answers(client)
    assert [path.name for path in (tmp_path / "elsewhere").rglob("*.pem")] == [f"{ONE}.pem"]


def test_a_reload_that_fails_leaves_the_certificates(serve: Serve, pebble: Pebble, echo: Echo, cache: Path) -> None:
    balancer = serve(Balancer(config(pebble, cache, web(pebble, echo, ONE))))
    before = has_certificate(pebble, ONE)
    reload(balancer, config(pebble, balancer.config / "cache", web(pebble, echo, ONE, TWO)))  # no folder, but a file
    assert "the config is not reloaded" in balancer.log_text()
    assert "acme.cache_dir: is below" in balancer.log_text()
    assert serial(pebble, ONE) == before
    assert not serial(pebble, TWO)


def test_a_server_that_is_added_over_the_api_gets_its_certificate(
    serve: Serve, pebble: Pebble, echo: Echo, cache: Path
) -> None:
    api_port = free_port()
    serve(Balancer(config(pebble, cache, f'[api]\nenabled = true\nbind = "{LOOPBACK}:{api_port}"\n')))
    data = {
        "bind": f"{LOOPBACK}:{pebble.tls_port}",
        "protocol": "tls",
        "tls": {"acme_hosts": [ONE]},
        "discovery": {"kind": "static", "static_list": [echo.line]},
    }
    JsonApi(LOOPBACK, api_port).post("/servers/web", data)
    assert has_certificate(pebble, ONE)
