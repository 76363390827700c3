"""From a section of the config to a context: versions, ciphers, certificates, and errors that say what to do."""

import select
import socket
import ssl
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gobetween_py.config.tls import VERSIONS, BackendsTls, Tls
from gobetween_py.proxy.connection import STREAM
from gobetween_py.proxy.tls import WeakSocket, wrap
from gobetween_py.tls.ciphers import OPENSSL
from gobetween_py.tls.contexts import TlsError, client_context, issued_context, server_context
from tests.services.certificates import Authority, Certificate


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    return authority.issue("localhost", "*.example.com")


def tls(own: Certificate, **keys: object) -> Tls:
    basis = {"cert_path": str(own.certificate), "key_path": str(own.key)}
    return Tls(**(basis | keys))  # type: ignore[arg-type]


def shaken(server: ssl.SSLContext, client: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    """The client's end after a handshake in memory. Raises ssl.SSLError of the side that refuses."""
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(back, there, server_hostname=name),
        server.wrap_bio(there, back, server_side=True),
    ]
    waiting = list(ends)
    while waiting:
        for end in tuple(waiting):
            try:
                end.do_handshake()
                waiting.remove(end)
            except ssl.SSLWantReadError:
                pass
    return ends[0]


def old_client(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = authority.context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = version
    return context


OF_PYTHON = dict(
    zip(
        VERSIONS,
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        strict=True,
    )
)
SPOKEN = {"tls1": "TLSv1", "tls1.1": "TLSv1.1", "tls1.2": "TLSv1.2", "tls1.3": "TLSv1.3"}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_version_is_spoken_when_it_is_the_only_one(authority: Authority, own: Certificate, version: str) -> None:
    server = server_context(tls(own, min_version=version, max_version=version))
    assert shaken(server, old_client(authority, OF_PYTHON[version])).version() == SPOKEN[version]  # type: ignore[index]
    for other in set(VERSIONS) - {version}:
        with pytest.raises(ssl.SSLError):
            shaken(server, old_client(authority, OF_PYTHON[other]))


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_old_versions_are_refused_by_default(authority: Authority, own: Certificate) -> None:
    for version in (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1):
        with pytest.raises(ssl.SSLError):
            shaken(server_context(tls(own)), old_client(authority, version))


@pytest.mark.parametrize(("tickets", "number"), [(True, 1), (False, 0)])
def test_a_handshake_of_tls_13_gives_one_ticket(own: Certificate, tickets: bool, number: int) -> None:
    assert server_context(tls(own, session_tickets=tickets)).num_tickets == number


def test_only_the_ciphers_of_the_list_are_spoken(authority: Authority, own: Certificate) -> None:
    name = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"
    server = server_context(tls(own, ciphers=[name], max_version="tls1.2"))
    cipher = shaken(server, authority.context()).cipher()
    assert cipher is not None
    assert cipher[0] == OPENSSL[name]


def test_a_list_of_ciphers_of_tls_13_alone_means_tls_13(authority: Authority, own: Certificate) -> None:
    """As in Go, where nothing else would be left for the older versions."""
    server = server_context(tls(own, ciphers=["TLS_AES_128_GCM_SHA256"]))
    assert shaken(server, authority.context()).version() == "TLSv1.3"
    with pytest.raises(ssl.SSLError):
        shaken(server, old_client(authority, ssl.TLSVersion.TLSv1_2))
    with pytest.raises(TlsError, match=r"max_version 'tls1\.2' excludes"):
        server_context(tls(own, ciphers=["TLS_AES_128_GCM_SHA256"], max_version="tls1.2"))


@pytest.mark.parametrize("name", OPENSSL)
def test_every_cipher_is_known_or_an_error(own: Certificate, name: str) -> None:
    """Never left out in silence."""
    settings = tls(own, ciphers=[name, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"])
    try:
        chosen = {cipher["name"] for cipher in server_context(settings).get_ciphers()}
    except TlsError as refused_:  # it depends on how OpenSSL was built
        error = refused_
    else:
        assert OPENSSL[name] in chosen
        return
    assert error.key == ("ciphers",)
    assert name in str(error)


def test_alpn_is_the_servers_choice_among_what_the_client_offers(authority: Authority, own: Certificate) -> None:
    client = authority.context()
    client.set_alpn_protocols(["http/1.1", "h2"])
    assert shaken(server_context(tls(own, alpn=["h2", "http/1.1"])), client).selected_alpn_protocol() == "h2"
    assert shaken(server_context(tls(own)), client).selected_alpn_protocol() is None


def test_a_client_certificate_is_required_or_requested(authority: Authority, own: Certificate) -> None:
    keys = {"client_ca_path": str(authority.ca), "max_version": "tls1.2"}
    with_one = authority.context(authority.issue("client"))
    for auth, expected in (("require", False), ("request", True)):
        server = server_context(tls(own, client_auth=auth, **keys))
        shaken(server, with_one)
        if expected:
            shaken(server, authority.context())
        else:
            with pytest.raises(ssl.SSLError, match="PEER_DID_NOT_RETURN_A_CERTIFICATE"):
                shaken(server, authority.context())


def test_a_client_certificate_of_somebody_else_is_refused(
    authority: Authority, own: Certificate, tmp_path: Path
) -> None:
    stranger = Authority(tmp_path).issue("client")
    for auth in ("require", "request"):
        server = server_context(tls(own, client_auth=auth, client_ca_path=str(authority.ca), max_version="tls1.2"))
        with pytest.raises(ssl.SSLError, match="CERTIFICATE_VERIFY_FAILED"):
            shaken(server, authority.context(stranger))


# certificates by name


def test_the_certificate_is_chosen_by_the_name(authority: Authority, own: Certificate) -> None:
    """The exact name goes before a wildcard, and the first certificate serves who asks for none of them."""
    exact, wild = authority.issue("exact.b.test"), authority.issue("*.b.test")
    more = [{"cert_path": str(c.certificate), "key_path": str(c.key)} for c in (wild, exact)]
    server = server_context(tls(own, certificates=more))
    client = authority.context()
    client.check_hostname = False
    for asked, shown in {
        "exact.b.test": "exact.b.test",
        "EXACT.b.test": "exact.b.test",
        "other.b.test": "*.b.test",
        "deep.other.b.test": "localhost",
        "b.test": "localhost",
        "elsewhere.test": "localhost",
        "127.0.0.1": "localhost",
        "a" * 63 + ".b.test": "*.b.test",
    }.items():
        assert shown_to(client, server, asked) == shown


def issued(certificate: Certificate, folder: Path) -> ssl.SSLContext:
    """For a certificate as [acme] keeps it: with its key in a file."""
    file = folder / f"{certificate.certificate.stem}-both.pem"
    file.write_bytes(certificate.key.read_bytes() + certificate.certificate.read_bytes())
    return issued_context(Tls(acme_hosts=("a.test",)), str(file))


def test_a_host_that_waits_for_its_certificate_gets_nobody_elses(authority: Authority, tmp_path: Path) -> None:
    """Nor does anybody get one while there is none at all. A wildcard of our own will do meanwhile."""
    client = authority.context()
    client.check_hostname = False
    settings = Tls(acme_hosts=("a.test", "b.test"))
    nothing = server_context(settings)
    for asked in "a.test", "elsewhere.test", "127.0.0.1":
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            shown_to(client, nothing, asked)
    one = server_context(settings, {"b.test": issued(authority.issue("b.test"), tmp_path)})
    for asked in "b.test", "elsewhere.test", "127.0.0.1":
        assert shown_to(client, one, asked) == "b.test"
    with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
        shown_to(client, one, "A.test")
    wild = authority.issue("*.test")
    files = {"cert_path": str(wild.certificate), "key_path": str(wild.key)}
    both = server_context(Tls(acme_hosts=("a.test",), **files))  # type: ignore[arg-type]
    assert shown_to(client, both, "a.test") == "*.test"


def test_certificates_in_files_go_before_those_that_are_issued(
    authority: Authority, own: Certificate, tmp_path: Path
) -> None:
    client = authority.context()
    client.check_hostname = False
    server = server_context(tls(own, acme_hosts=["a.test"]), {"a.test": issued(authority.issue("a.test"), tmp_path)})
    assert shown_to(client, server, "a.test") == "a.test"
    assert shown_to(client, server, "127.0.0.1") == "localhost"


class Terminating:
    """What the choice asks of a connection."""

    def __init__(self, server: ssl.SSLContext, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.socket = WeakSocket(int(sock.family), STREAM, 0, sock.detach())
        self.client_tls = wrap(server, self.socket, self, server_side=True)  # type: ignore[arg-type]
        self.asked: list[str] = []

    def asked_for(self, name: str) -> None:
        """Told of the name that the client asks for."""
        self.asked.append(name)

    def shake(self) -> None:
        """The whole handshake, in a thread beside the client."""
        while True:
            try:
                self.client_tls.do_handshake()
            except ssl.SSLWantReadError:
                select.select([self.socket.fileno()], [], [], 10)
            else:
                return


def shown_to(client: ssl.SSLContext, server: ssl.SSLContext, name: str) -> str:
    """The subject of the certificate that a client gets which asks for a name."""
    here, there = socket.socketpair()
    here.settimeout(10)
    with ThreadPoolExecutor(1) as threads:
        terminating = Terminating(server, there)
        serving = threads.submit(terminating.shake)
        with here, client.wrap_socket(here, server_hostname=name) as wrapped:
            serving.result(10)
            certificate = wrapped.getpeercert()
    assert terminating.asked == ([] if name == "127.0.0.1" else [name])
    assert certificate
    return str(certificate["subject"][0][0][1])  # type: ignore[index]


# what is wrong


def refused(settings: Tls | BackendsTls) -> tuple[tuple[str | int, ...], str]:
    make = server_context if isinstance(settings, Tls) else client_context
    with pytest.raises(TlsError) as error:
        make(settings)  # type: ignore[arg-type]
    return error.value.key, str(error.value)


def test_a_wrong_file_is_named_with_the_remedy(authority: Authority, own: Certificate, tmp_path: Path) -> None:
    other = authority.issue("other")
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("no PEM")
    locked = tmp_path / "locked.key"
    command = ["openssl", "pkey", "-in", own.key, "-aes256", "-passout", "pass:hunter22", "-out", locked]
    subprocess.run(command, check=True, capture_output=True)
    gone = str(tmp_path / "gone.pem")
    cases: list[tuple[dict[str, object], tuple[str | int, ...], str, str]] = [
        ({"cert_path": str(rubbish)}, ("cert_path",), str(rubbish), "convert it with"),
        ({"cert_path": gone}, ("cert_path",), gone, "No such file"),
        ({"key_path": str(other.key)}, ("key_path",), str(other.key), "is not the key of"),
        ({"key_path": str(rubbish)}, ("key_path",), str(rubbish), "no private key in PEM"),
        ({"key_path": str(locked)}, ("key_path",), str(locked), "encrypted"),
        (
            {"certificates": [{"cert_path": str(own.certificate), "key_path": str(other.key)}]},
            ("certificates", 0, "key_path"),
            str(other.key),
            "is not the key of",
        ),
        (
            {"client_auth": "require", "client_ca_path": str(rubbish)},
            ("client_ca_path",),
            str(rubbish),
            "no certificate",
        ),
    ]
    for keys, key, file, remedy in cases:
        where, text = refused(tls(own, **keys))
        assert where == key
        assert file in text
        assert remedy in text
    assert refused(BackendsTls(root_ca_cert_path=str(rubbish)))[0] == ("root_ca_cert_path",)


def test_the_authority_of_the_config_wins_over_the_environment(
    authority: Authority, own: Certificate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stranger = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.ca))
    server = server_context(tls(own))
    shaken(server, client_context(BackendsTls()))
    with pytest.raises(ssl.SSLCertVerificationError):
        shaken(server, client_context(BackendsTls(root_ca_cert_path=str(stranger.ca))))
    shaken(server, client_context(BackendsTls(root_ca_cert_path=str(stranger.ca), ignore_verify=True)))
