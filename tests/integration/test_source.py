"""The address that backends see, between networks of their own: the client's, or one that the config names."""

import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services import apt
from tests.services.balancer import Balancer, Value
from tests.services.certificates import Authority
from tests.services.networks import BACKEND, BACKEND_6, CLIENT, CLIENT_6, FRONT, FRONT_6, INNER, INNER_6, Networks
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, StartError

PORT = 8000
LARGE = 3 << 20
FOUR, SIX = (FRONT, CLIENT, BACKEND, INNER), (FRONT_6, CLIENT_6, BACKEND_6, INNER_6)


def shown(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def listening(networks: Networks, host: str, port: int = PORT) -> socket.socket:
    with networks.inside("backend"):
        server = socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    server.settimeout(10)
    return server


def connected(networks: Networks, host: str, port: int = PORT) -> socket.socket:
    with networks.inside("client"):
        return socket.create_connection((host, port), timeout=10)


def exchanged(client: socket.socket, backend: socket.socket) -> bool:
    """Whether a lot of bytes arrive whole, one way and then the other, with the ends of both streams."""
    for source, sink in (client, backend), (backend, client):
        content = os.urandom(LARGE)
        with ThreadPoolExecutor(1) as thread:
            sent = thread.submit(source.sendall, content)
            received = b""
            while len(received) < LARGE:
                received += sink.recv(1 << 20)
            sent.result()
        source.shutdown(socket.SHUT_WR)
        if received != content or sink.recv(1) != b"":
            return False
    return True


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize("hosts", [FOUR, SIX], ids=["IPv4", "IPv6"])
@pytest.mark.parametrize("transparent", [True, False], ids=["transparent", "not transparent"])
def test_the_backend_sees_the_client_where_that_is_asked_for(
    serve: Serve, networks: Networks, hosts: Sequence[str], transparent: bool
) -> None:
    front, client_host, backend_host, inner = hosts
    networks.intercept()
    with listening(networks, backend_host) as server:
        backends = shown(backend_host, PORT)
        with networks.inside("balancer"):
            serve(Balancer.before(backends, bind=shown(front, PORT), transparent=transparent))
        for _ in range(3):
            with connected(networks, front) as client, server.accept()[0] as backend:
                assert backend.getpeername()[0] == (client_host if transparent else inner)
                assert exchanged(client, backend)


def test_of_a_tls_client_too(serve: Serve, networks: Networks, tmp_path: Path) -> None:
    networks.intercept()
    authority = Authority(tmp_path)
    certificate = authority.issue("tls.test")
    tls = {"tls.cert_path": str(certificate.certificate), "tls.key_path": str(certificate.key)}
    with listening(networks, BACKEND) as server:
        with networks.inside("balancer"):
            serve(Balancer.before(f"{BACKEND}:{PORT}", bind=f"{FRONT}:{PORT}", protocol="tls", transparent=True, **tls))
        with authority.context().wrap_socket(connected(networks, FRONT), server_hostname="tls.test") as client:
            backend, peer = server.accept()
            with backend:
                client.sendall(b"question")
                assert (backend.recv(100), peer[0]) == (b"question", CLIENT)
                backend.sendall(b"answer")
                assert client.recv(100) == b"answer"


def test_a_reload_makes_new_connections_transparent(serve: Serve, networks: Networks) -> None:
    networks.intercept()
    with listening(networks, BACKEND) as server:
        balancer = Balancer.before(f"{BACKEND}:{PORT}", bind=f"{FRONT}:{PORT}", transparent=False)
        with networks.inside("balancer"):
            serve(balancer)
        with connected(networks, FRONT) as old, server.accept()[0] as backend:
            balancer.config.write_text(balancer.config.read_text().replace("transparent = false", "transparent = true"))
            balancer.signal(signal.SIGHUP)
            until(lambda: "changed web (transparent)" in balancer.log_text())
            with connected(networks, FRONT), server.accept()[0] as newer:
                assert newer.getpeername()[0] == CLIENT
            assert backend.getpeername()[0] == INNER
            assert exchanged(old, backend)


@pytest.mark.parametrize("hosts", [FOUR, SIX], ids=["IPv4", "IPv6"])
def test_connections_and_checks_come_from_the_source_address(
    serve: Serve, networks: Networks, hosts: Sequence[str]
) -> None:
    """Here it is the balancer's other one. Without clients, who connects is a check."""
    front, _, backend_host, _ = hosts
    with listening(networks, backend_host) as server:
        text = f"""
            [servers.web]
            bind = "{shown(front, PORT)}"
            source_address = ["{FRONT}", "{FRONT_6}"]
            healthcheck = {{ kind = "ping", interval = "100ms", timeout = "4s" }}
            discovery = {{ kind = "static", static_list = ["{shown(backend_host, PORT)}"] }}
        """
        balancer = Balancer(text)
        with networks.inside("balancer"):
            serve(balancer)
        check, peer = server.accept()
        check.close()
        assert peer[0] == front
        with connected(networks, front) as client:
            client.sendall(b"question")
            while True:
                backend, peer = server.accept()
                with backend:
                    assert peer[0] == front
                    if data := backend.recv(100):
                        assert data == b"question"
                        break


def test_a_reload_changes_where_checks_come_from(serve: Serve) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        server.settimeout(10)
        balancer = Balancer.before(
            f"{LOOPBACK}:{server.getsockname()[1]}",
            source_address="127.0.0.7",
            **{"healthcheck.kind": "ping", "healthcheck.interval": "50ms"},
        )
        serve(balancer)

        def checked_from() -> str:
            check, peer = server.accept()
            check.close()
            return str(peer[0])

        assert checked_from() == "127.0.0.7"
        balancer.config.write_text(balancer.config.read_text().replace("127.0.0.7", "127.0.0.8"))
        balancer.signal(signal.SIGHUP)
        until(lambda: checked_from() == "127.0.0.8")
        assert "unhealthy" not in balancer.log_text()


def test_each_backend_gets_as_many_connections_as_there_are_ports(serve: Serve, networks: Networks) -> None:
    """And not all of them together. Bound the plain way, a port of a source address is used once."""
    ports, count = range(PORT, PORT + 4), 30
    with contextlib.ExitStack() as stack, networks.inside("balancer"):
        servers = [stack.enter_context(listening(networks, BACKEND, port)) for port in ports]
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text(f"40000 {40000 + count - 1}\n")
        lines = [f"{BACKEND}:{port}" for port in ports]
        serve(Balancer.before(*lines, bind=f"{FRONT}:{PORT}", balance="leastconn", source_address=FRONT))
        for _ in range(count * len(ports) * 3 // 4):  # the last free ones are hard to find, in any kernel
            stack.enter_context(connected(networks, FRONT))
        for server in servers:
            for _ in range(count * 3 // 4):
                backend, peer = server.accept()
                stack.enter_context(backend)
                assert peer[0] == FRONT


def test_a_backend_that_no_port_is_left_for_has_not_refused(serve: Serve, networks: Networks) -> None:
    with contextlib.ExitStack() as stack, networks.inside("balancer"):
        stack.enter_context(listening(networks, BACKEND, PORT))
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("40000 40001\n")
        balancer = serve(Balancer.before(f"{BACKEND}:{PORT}", bind=f"{FRONT}:{PORT}"))
        for _ in range(4):
            stack.enter_context(connected(networks, FRONT))
        until(lambda: "not dialled: no local port is left for it" in balancer.log_text())
        assert f"backend {BACKEND}:{PORT} refused" not in balancer.log_text()


# without the privilege


class Unprivileged(Balancer):
    """Whatever the user, it may not have the addresses of others."""

    def command(self) -> Sequence[str | Path]:
        setpriv = apt.command("setpriv", "util-linux")
        return [setpriv, "--bounding-set=-net_admin,-net_raw", "--inh-caps=-net_admin,-net_raw", *super().command()]


REMEDY = (
    "sockets with the address of a client need CAP_NET_ADMIN or CAP_NET_RAW: run as root, or with "
    "AmbientCapabilities=CAP_NET_ADMIN in the systemd unit"
)


@pytest.mark.parametrize(
    ("key", "keys"),
    [
        ("transparent", {"transparent": True}),
        ("transparent", {"transparent": True, "protocol": "udp", "client_idle_timeout": "1s"}),
        ("udp.transparent", {"udp.transparent": True, "protocol": "udp", "client_idle_timeout": "1s"}),
    ],
    ids=["tcp", "udp", "udp.transparent"],
)
def test_without_the_privilege_the_start_fails_with_the_remedy(serve: Serve, key: str, keys: dict[str, Value]) -> None:
    with pytest.raises(StartError, match=re.escape(f"servers.web.{key}: {REMEDY}")):
        serve(Unprivileged.before(f"{LOOPBACK}:1", bind=f"{LOOPBACK}:{free_port()}", **keys))


def test_without_the_privilege_a_reload_changes_nothing(serve: Serve) -> None:
    with socket.create_server((LOOPBACK, 0)) as server:
        balancer = serve(Unprivileged.before(f"{LOOPBACK}:{server.getsockname()[1]}", source_address="127.0.0.7"))
        text = balancer.config.read_text()
        balancer.config.write_text(text.replace("[servers.web]", "[servers.web]\ntransparent = true"))
        balancer.signal(signal.SIGHUP)
        until(lambda: f"servers.web.transparent: {REMEDY}" in balancer.log_text())
        added = text.replace("servers.web", "servers.other").replace(str(balancer.port), str(free_port()))
        balancer.config.write_text(text + added.replace("[servers.other]", "[servers.other]\ntransparent = true"))
        balancer.signal(signal.SIGHUP)
        until(lambda: f"servers.other.transparent: {REMEDY}" in balancer.log_text())
        with socket.create_connection((LOOPBACK, balancer.port), timeout=10), server.accept()[0] as backend:
            assert backend.getpeername()[0] == "127.0.0.7"
