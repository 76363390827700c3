"""TLS with the field's own clients and servers: curl, openssl s_client, ab and wrk before it; nginx behind it."""

import contextlib
import hashlib
import http.client
import json
import os
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services import apt
from tests.services.balancer import Balancer
from tests.services.certificates import Authority, Certificate
from tests.services.load import ab, wrk
from tests.services.nginx import Nginx
from tests.services.nginx_tls import NginxTls
from tests.services.ports import free_port
from tests.services.process import LOOPBACK


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def own(authority: Authority) -> Certificate:
    return authority.issue("localhost")


def table(keys: dict[str, object]) -> str:
    return (
        "{ "
        + ", ".join(f"{key} = {value if isinstance(value, str) else json.dumps(value)}" for key, value in keys.items())
        + " }"
    )


def quoted(path: Path) -> str:
    return json.dumps(str(path))


def balancer_before(
    backend: int, own: Certificate | None = None, *, backends_tls: str = "", line: str = "", **tls: object
) -> Balancer:
    """A balancer with TLS towards its clients where it has a certificate, and towards its backends where that is said.

    Values of `tls` that are text stand in the config as they are.
    """
    port = free_port()
    lines = ["[servers.web]", f'bind = "{LOOPBACK}:{port}"', 'shutdown_timeout = "1s"']
    if own:
        lines.append('protocol = "tls"')
        lines.append(f"tls = {table({'cert_path': quoted(own.certificate), 'key_path': quoted(own.key), **tls})}")
    if backends_tls:
        lines.append(f"backends_tls = {backends_tls}")
    lines += [
        "[servers.web.discovery]",
        'kind = "static"',
        f"static_list = {json.dumps([f'{LOOPBACK}:{backend}{line}'])}",
    ]
    balancer = Balancer("\n".join([*lines, ""]))
    balancer.port = port
    return balancer


def curl(authority: Authority, port: int, path: str, *options: str) -> "subprocess.CompletedProcess[bytes]":
    command = [apt.command("curl", "curl"), "-sS", "--cacert", str(authority.ca), "--max-time", "20", *options]
    return subprocess.run([*command, f"https://localhost:{port}{path}"], capture_output=True, check=False, timeout=30)


def s_client(port: int, *options: str | Path, said: str = "Q\n") -> str:
    """What openssl prints about a connection."""
    command = [apt.command("openssl", "openssl"), "s_client", "-connect", f"{LOOPBACK}:{port}", *options]
    done = subprocess.run(command, input=said, capture_output=True, text=True, timeout=30, check=False)
    return done.stdout + done.stderr


# clients


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_curl_gets_the_whole_of_a_page(
    serve: Serve, nginx: Nginx, authority: Authority, own: Certificate, version: str
) -> None:
    digest = nginx.write_random("large", 20 << 20)
    balancer = serve(balancer_before(nginx.port, own))
    got = curl(authority, balancer.port, "/large", f"--tlsv{version}", "--tls-max", version)
    assert got.returncode == 0, got.stderr
    assert hashlib.sha256(got.stdout).hexdigest() == digest


def test_curl_negotiates_alpn(serve: Serve, nginx: Nginx, authority: Authority, own: Certificate) -> None:
    balancer = serve(balancer_before(nginx.port, own, alpn=["http/1.1"]))
    got = curl(authority, balancer.port, "/name", "-v")
    assert got.stdout == b"nginx"
    assert b"server accepted http/1.1" in got.stderr


@pytest.mark.parametrize("flag", ["tls1", "tls1_1", "tls1_2", "tls1_3"])
def test_openssl_speaks_every_version_that_is_allowed(serve: Serve, nginx: Nginx, own: Certificate, flag: str) -> None:
    balancer = serve(balancer_before(nginx.port, own, min_version='"tls1"'))
    spoken = {"tls1": "TLSv1", "tls1_1": "TLSv1.1", "tls1_2": "TLSv1.2", "tls1_3": "TLSv1.3"}[flag]
    printed = s_client(balancer.port, f"-{flag}", "-cipher", "ALL:@SECLEVEL=0")
    assert re.search(rf"New, TLSv1\.\d|New, {re.escape(spoken)}", printed)
    assert re.search(rf"Protocol *: {re.escape(spoken)}$|^New, {re.escape(spoken)},", printed, re.MULTILINE), printed


@pytest.mark.parametrize("flag", ["tls1", "tls1_1"])
def test_openssl_is_refused_old_versions(serve: Serve, nginx: Nginx, own: Certificate, flag: str) -> None:
    balancer = serve(balancer_before(nginx.port, own))
    printed = s_client(balancer.port, f"-{flag}", "-cipher", "ALL:@SECLEVEL=0")
    assert "alert protocol version" in printed


@pytest.mark.parametrize("flag", ["-tls1_2", "-tls1_3"])
def test_openssl_resumes_a_session(serve: Serve, nginx: Nginx, own: Certificate, tmp_path: Path, flag: str) -> None:
    balancer = serve(balancer_before(nginx.port, own, session_tickets=True))
    session = tmp_path / "session"
    request = "GET /name HTTP/1.0\r\n\r\n"
    first = s_client(balancer.port, flag, "-sess_out", session, "-ign_eof", said=request)
    assert "\nNew, " in first
    again = s_client(balancer.port, flag, "-sess_in", session, "-ign_eof", said=request)
    assert "\nReused, " in again
    assert "nginx" in again


def test_tls_13_sessions_are_not_resumed_without_tickets(
    serve: Serve, nginx: Nginx, own: Certificate, tmp_path: Path
) -> None:
    balancer = serve(balancer_before(nginx.port, own))
    session = tmp_path / "session"
    s_client(balancer.port, "-tls1_3", "-sess_out", session, "-ign_eof", said="GET /name HTTP/1.0\r\n\r\n")
    assert not session.exists()


def test_openssl_sees_the_end_as_an_end(serve: Serve, nginx: Nginx, own: Certificate) -> None:
    """close_notify comes: an end without it is an error to OpenSSL 3."""
    balancer = serve(balancer_before(nginx.port, own))
    printed = s_client(balancer.port, "-ign_eof", said="GET /name HTTP/1.0\r\n\r\n")
    assert "nginx" in printed
    assert "unexpected eof" not in printed


def test_client_certificates_are_asked_for(
    serve: Serve, nginx: Nginx, authority: Authority, own: Certificate, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger"
    stranger.mkdir()
    balancer = serve(balancer_before(nginx.port, own, client_auth='"require"', client_ca_path=quoted(authority.ca)))
    good, bad = authority.issue("client"), Authority(stranger).issue("client")
    assert (
        curl(authority, balancer.port, "/name", "--cert", str(good.certificate), "--key", str(good.key)).stdout
        == b"nginx"
    )
    for options in ([], ["--cert", str(bad.certificate), "--key", str(bad.key)]):
        got = curl(authority, balancer.port, "/name", *options)
        assert got.returncode != 0
        assert got.stdout == b""


def test_a_certificate_for_each_name(serve: Serve, nginx: Nginx, authority: Authority, own: Certificate) -> None:
    more = [authority.issue("b.test"), authority.issue("*.c.test")]
    pairs = ", ".join(f"{{ cert_path = {quoted(c.certificate)}, key_path = {quoted(c.key)} }}" for c in more)
    balancer = serve(balancer_before(nginx.port, own, certificates=f"[{pairs}]"))
    for asked, shown in (("b.test", "b.test"), ("x.c.test", "*.c.test"), ("d.test", "localhost")):
        assert f"subject=CN = {shown}" in s_client(balancer.port, "-servername", asked)
    assert "subject=CN = localhost" in s_client(balancer.port, "-noservername")


def test_a_renewed_certificate_needs_no_restart(
    serve: Serve, nginx: Nginx, authority: Authority, own: Certificate
) -> None:
    """New connections get it; one that is open goes on."""
    balancer = serve(balancer_before(nginx.port, own))
    kept = http.client.HTTPSConnection("localhost", balancer.port, context=authority.context(), timeout=20)
    kept.request("GET", "/name")
    assert kept.getresponse().read() == b"nginx"
    new = authority.issue("renewed", "localhost")
    os.replace(new.key, own.key)
    os.replace(new.certificate, own.certificate)
    deadline = time.monotonic() + 20
    while "subject=CN = renewed" not in s_client(balancer.port):
        assert time.monotonic() < deadline
        time.sleep(0.2)
    kept.request("GET", "/name")
    assert kept.getresponse().read() == b"nginx"
    kept.close()


@pytest.mark.parametrize("keep_alive", [True, False])
def test_ab_loses_no_request(serve: Serve, nginx: Nginx, own: Certificate, keep_alive: bool) -> None:
    nginx.write("page", b"x" * 5000)
    balancer = serve(balancer_before(nginx.port, own, session_tickets=True))
    load = ab(f"https://{LOOPBACK}:{balancer.port}/page", requests=3000, clients=50, keep_alive=keep_alive)
    assert (load.complete, load.failed, load.body_bytes) == (3000, 0, 15_000_000)


def test_wrk_sees_no_error(serve: Serve, nginx: Nginx, own: Certificate) -> None:
    nginx.write("page", b"x" * 100_000)
    balancer = serve(balancer_before(nginx.port, own))
    load = wrk(f"https://{LOOPBACK}:{balancer.port}/page", seconds=2, clients=50)
    assert load.complete > 100
    assert load.failed == 0


@contextlib.contextmanager
def dribbling(port: int, hello: bytes, count: int) -> Iterator[list[socket.socket]]:
    """Clients that have sent the beginning of a handshake, and go on a byte at a time."""
    clients = [socket.create_connection((LOOPBACK, port), 20) for _ in range(count)]
    try:
        for client in clients:
            client.sendall(hello[:5])
        yield clients
    finally:
        for client in clients:
            client.close()


def client_hello() -> bytes:
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(back, there, server_hostname="localhost")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    return there.read()


def test_clients_that_send_a_byte_a_second_hold_up_nobody(
    serve: Serve, nginx: Nginx, authority: Authority, own: Certificate
) -> None:
    """They are closed when their time is over, and others are served meanwhile."""
    balancer = serve(balancer_before(nginx.port, own, handshake_timeout='"3s"'))
    hello = client_hello()
    with dribbling(balancer.port, hello, 200) as clients:
        for at in range(5, 8):
            for client in clients:
                with contextlib.suppress(OSError):
                    client.sendall(hello[at : at + 1])
            load = ab(f"https://{LOOPBACK}:{balancer.port}/name", requests=300, clients=10)
            assert (load.complete, load.failed) == (300, 0)
            time.sleep(1)
        for client in clients:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
    assert curl(authority, balancer.port, "/name").stdout == b"nginx"


# backends


@pytest.fixture
def nginx_tls(serve: Serve) -> NginxTls:
    return serve(NginxTls())


def ask(port: int, path: str, authority: Authority | None = None) -> str:
    kind = http.client.HTTPSConnection if authority else http.client.HTTPConnection
    options = {"context": authority.context()} if authority else {}
    connection = kind("localhost", port, timeout=20, **options)  # type: ignore[arg-type]
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


def test_nginx_is_asked_over_tls_and_sessions_are_resumed(serve: Serve, nginx_tls: NginxTls) -> None:
    ca = quoted(nginx_tls.authority.ca)
    balancer = serve(
        balancer_before(nginx_tls.port, backends_tls=f"{{ root_ca_cert_path = {ca} }}", line=" sni=localhost")
    )
    assert ask(balancer.port, "/tls") == "TLSv1.3 localhost NONE ."
    for _ in range(3):
        assert ask(balancer.port, "/tls") == "TLSv1.3 localhost NONE r"


def test_nginx_sees_our_certificate(serve: Serve, nginx_tls: NginxTls) -> None:
    mine = nginx_tls.client
    keys = {
        "root_ca_cert_path": quoted(nginx_tls.authority.ca),
        "cert_path": quoted(mine.certificate),
        "key_path": quoted(mine.key),
        "max_version": '"tls1.2"',
    }
    balancer = serve(balancer_before(nginx_tls.port, backends_tls=table(dict(keys)), line=" sni=localhost"))
    assert ask(balancer.port, "/tls") == "TLSv1.2 localhost SUCCESS ."


def test_a_backend_of_another_name_or_authority_gets_nobody(
    serve: Serve, nginx_tls: NginxTls, authority: Authority
) -> None:
    mine, other = quoted(nginx_tls.authority.ca), quoted(authority.ca)
    for keys, line, served in (
        (f"{{ root_ca_cert_path = {mine} }}", " sni=elsewhere.test", False),
        (f"{{ root_ca_cert_path = {other} }}", " sni=localhost", False),
        ("{ ignore_verify = true }", " sni=elsewhere.test", True),
    ):
        balancer = serve(balancer_before(nginx_tls.port, backends_tls=keys, line=line))
        if served:
            assert ask(balancer.port, "/name") == "nginx"
        else:
            with pytest.raises((http.client.HTTPException, ConnectionError)):
                ask(balancer.port, "/name")
            assert "certificate not accepted" in balancer.log_text()


def test_tls_on_both_sides_carries_a_load(
    serve: Serve, nginx_tls: NginxTls, own: Certificate, authority: Authority
) -> None:
    digest = nginx_tls.write_random("large", 30 << 20)
    ca = quoted(nginx_tls.authority.ca)
    balancer = serve(balancer_before(nginx_tls.port, own, backends_tls=f"{{ root_ca_cert_path = {ca} }}"))
    got = curl(authority, balancer.port, "/large")
    assert hashlib.sha256(got.stdout).hexdigest() == digest
    load = ab(f"https://{LOOPBACK}:{balancer.port}/name", requests=1000, clients=20)
    assert (load.complete, load.failed) == (1000, 0)
