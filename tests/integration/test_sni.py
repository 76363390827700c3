"""TLS clients by their server name, without termination: curl, openssl and HAProxy in front, TLS servers behind."""

import contextlib
import hashlib
import json
import socket
import subprocess
from pathlib import Path

import pytest

from tests.gobetween_py.proxy.hellos import openssl as client_hello
from tests.integration.conftest import Serve
from tests.services import apt
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.haproxy import Haproxy
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK


class Sites:
    """TLS servers, each before an nginx that says its name: HAProxy terminates."""

    def __init__(self, serve: Serve, folder: Path, *names: str) -> None:
        self.authority = Authority(folder)
        self.serve = serve
        self.nginx: dict[str, Nginx] = {}
        self.ports: dict[str, int] = {}
        for name in names:
            issued = self.authority.issue(name, f"www.{name}", f"any.{name}")
            both = folder / f"{name}.both"
            both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
            self.nginx[name] = serve(Nginx(name))
            front = Haproxy(f"{LOOPBACK}:{self.nginx[name].port}", bind=f"ssl crt {both} alpn h2,http/1.1")
            self.ports[name] = serve(front).port

    def balancer(self, *backends: tuple[str, str], sni: str = "", extra: str = "") -> Balancer:
        """One that chooses by server name among sites, each with the options of its backend line."""
        port = free_port()
        lines = [f"{LOOPBACK}:{self.ports[site]} {options}".rstrip() for site, options in backends]
        balancer = Balancer(
            f'[servers.web]\nbind = "{LOOPBACK}:{port}"\nshutdown_timeout = "1s"\n{extra}\n[servers.web.sni]\n{sni}\n'
            f'[servers.web.discovery]\nkind = "static"\nstatic_list = {json.dumps(lines)}\n'
        )
        balancer.port = port
        return self.serve(balancer)

    def curl(self, port: int, host: str, path: str = "/name", *options: str) -> bytes:
        """What curl gets over https, having verified the certificate."""
        command = [apt.command("curl", "curl"), "-sS", "--fail", "--max-time", "30", "--cacert", str(self.authority.ca)]
        command += ["--http1.1", "--resolve", f"{host}:{port}:{LOOPBACK}", *options, f"https://{host}:{port}{path}"]
        return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.fixture
def sites(serve: Serve, tmp_path: Path) -> Sites:
    return Sites(serve, tmp_path, "a.test", "b.test")


def s_client(port: int, *options: str) -> str:
    """What `openssl s_client` says of the connection; "" when it got none."""
    command = [apt.command("openssl", "openssl"), "s_client", "-connect", f"{LOOPBACK}:{port}", *options]
    done = subprocess.run(command, input=b"", capture_output=True, timeout=30, check=False)
    return done.stdout.decode(errors="replace") if done.returncode == 0 else ""


BOTH = (("a.test", "sni=a.test,*.a.test"), ("b.test", "sni=B.test"))


def test_curl_gets_the_site_that_it_asks_for(sites: Sites) -> None:
    """Certificates are the sites' own: it is they who terminate."""
    balancer = sites.balancer(*BOTH)
    for host, site in {"a.test": "a.test", "www.a.test": "a.test", "any.a.test": "a.test", "b.test": "b.test"}.items():
        for _ in range(5):
            assert sites.curl(balancer.port, host) == site.encode()
    digest = sites.nginx["a.test"].write_random("large", 20 << 20)
    assert hashlib.sha256(sites.curl(balancer.port, "a.test", "/large")).hexdigest() == digest
    with pytest.raises(subprocess.CalledProcessError):
        sites.curl(balancer.port, "c.test")


def test_patterns_choose_sites(sites: Sites) -> None:
    balancer = sites.balancer(
        ("a.test", r"sni=^(www|any)\.a\.test$"),
        ("b.test", r"sni=b\.test$"),
        sni='hostname_matching_strategy = "regexp"\nunexpected_hostname_strategy = "reject"',
    )
    assert sites.curl(balancer.port, "www.a.test") == b"a.test"
    assert sites.curl(balancer.port, "www.b.test") == b"b.test"
    with pytest.raises(subprocess.CalledProcessError):
        sites.curl(balancer.port, "a.test")


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_s_client_of_every_version_sees_the_sites_certificate(sites: Sites, version: str) -> None:
    balancer = sites.balancer(*BOTH)
    ca = str(sites.authority.ca)
    for site in "a.test", "b.test":
        told = s_client(balancer.port, version, "-servername", site, "-CAfile", ca, "-verify_return_error")
        assert f"subject=CN = {site}" in told
        assert "Verify return code: 0 (ok)" in told
    assert s_client(balancer.port, version, "-servername", "c.test") == ""
    assert s_client(balancer.port, version, "-noservername") == ""


@pytest.mark.parametrize(
    ("strategy", "expected"), [("default", "subject=CN = b.test"), ("any", "subject=CN = "), ("reject", None)]
)
def test_names_that_nobody_has_get_what_the_strategy_says(sites: Sites, strategy: str, expected: str | None) -> None:
    sni = f'unexpected_hostname_strategy = "{strategy}"'
    balancer = sites.balancer(("a.test", "sni=a.test"), ("b.test", ""), sni=sni)
    for options in ["-servername", "c.test"], ["-noservername"]:
        told = s_client(balancer.port, *options)
        assert (expected in told) if expected else not told
    assert "subject=CN = a.test" in s_client(balancer.port, "-servername", "a.test")


def test_protocols_choose_sites(sites: Sites) -> None:
    balancer = sites.balancer(("a.test", "sni=a.test alpn=h2"), ("b.test", "sni=a.test"))
    assert "subject=CN = a.test" in s_client(balancer.port, "-servername", "a.test", "-alpn", "h2,http/1.1")
    assert "subject=CN = b.test" in s_client(balancer.port, "-servername", "a.test", "-alpn", "http/1.1")


def test_a_client_without_tls_is_unexpected(sites: Sites) -> None:
    """Plain HTTP goes to who has no sni, here nginx without TLS."""
    nginx = sites.nginx["b.test"]
    sites.ports["plain"] = nginx.port
    balancer = sites.balancer(("a.test", "sni=a.test"), ("plain", ""))
    command = [apt.command("curl", "curl"), "-sS", "--max-time", "30", f"http://{LOOPBACK}:{balancer.port}/name"]
    assert subprocess.run(command, check=True, capture_output=True).stdout == b"b.test"
    assert sites.curl(balancer.port, "a.test") == b"a.test"


def test_the_name_travels_on_in_the_header(sites: Sites, tmp_path: Path) -> None:
    """HAProxy in front sends a header, the balancer reads name and header, HAProxy behind gets both."""
    issued = sites.authority.issue("c.test")
    both = tmp_path / "c.both"
    both.write_bytes(issued.certificate.read_bytes() + issued.key.read_bytes())
    nginx = sites.nginx["a.test"]
    behind = Haproxy(f"{LOOPBACK}:{nginx.proxied}", bind=f"accept-proxy ssl crt {both}", server="send-proxy")
    sites.ports["c.test"] = sites.serve(behind).port
    balancer = sites.balancer(
        ("c.test", "sni=c.test proxy_protocol=2"),
        ("b.test", "sni=b.test"),
        extra=f'proxy_protocol_in = {{ trusted = ["{LOOPBACK}"] }}',
    )
    front = sites.serve(Haproxy(f"{LOOPBACK}:{balancer.port}", server="send-proxy-v2"))
    client = sites.curl(front.port, "c.test", "/client", "--interface", "127.0.0.9", "--local-port", "20000-30000")
    assert client.startswith(b"127.0.0.9:2")
    assert sites.curl(front.port, "b.test") == b"b.test"


def test_clients_that_dawdle_hold_nobody_else_up(sites: Sites) -> None:
    """Some say nothing, some half a hello: all are gone in time, and others are served meanwhile."""
    balancer = sites.balancer(*BOTH, sni='read_timeout = "1s"')
    hello = client_hello("a.test")
    with contextlib.ExitStack() as stack:
        slow = [
            stack.enter_context(socket.create_connection((LOOPBACK, balancer.port), timeout=30)) for _ in range(500)
        ]
        for client in slow[::2]:
            client.sendall(hello[:40])
        assert sites.curl(balancer.port, "a.test") == b"a.test"
        for client in slow:
            with contextlib.suppress(ConnectionResetError):
                assert client.recv(1) == b""
    assert sites.curl(balancer.port, "b.test") == b"b.test"
