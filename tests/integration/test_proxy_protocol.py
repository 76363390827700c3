"""The PROXY protocol with HAProxy and nginx, as senders and as receivers; and as the balancer's own chain."""

import contextlib
import http.client
import json
import signal
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.haproxy import Haproxy
from tests.services.load import ab
from tests.services.nginx import Nginx, NginxSender
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

CLIENT = "127.0.0.9"
"""Another loopback address than the proxies have."""
OUT = {"1": '{ version = "1" }', "2": '{ version = "2", tlvs = ["unique_id", "crc32c", "authority", "alpn"] }'}


def balancer_before(backend: int, *, out: str = "", trusted: str = "", access: str = "") -> Balancer:
    """A balancer with PROXY headers out (a version), in (a trusted network), and an access rule."""
    port = free_port()
    lines = [
        "[servers.web]",
        f'bind = "{LOOPBACK}:{port}"',
        'shutdown_timeout = "1s"',
        f"proxy_protocol = {OUT[out]}" if out else "",
        f'proxy_protocol_in = {{ trusted = ["{trusted}"] }}' if trusted else "",
        f'access = {{ rules = ["{access}"] }}' if access else "",
        "[servers.web.discovery]",
        'kind = "static"',
        f"static_list = {json.dumps([f'{LOOPBACK}:{backend}'])}",
    ]
    balancer = Balancer("\n".join([*lines, ""]))
    balancer.port = port
    return balancer


def ask(port: int, path: str = "/client", source: str = CLIENT) -> tuple[str, str]:
    """The answer, and the address that it was asked from."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=20, source_address=(source, 0))
    try:
        connection.connect()
        host, own_port = connection.sock.getsockname()
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read().decode(), f"{host}:{own_port}"
    finally:
        connection.close()


@pytest.mark.parametrize("version", OUT)
def test_nginx_is_told_the_client(serve: Serve, nginx: Nginx, version: str) -> None:
    balancer = serve(balancer_before(nginx.proxied, out=version))
    for _ in range(20):
        answer, asked_from = ask(balancer.port)
        assert answer == asked_from


@pytest.mark.parametrize("version", OUT)
def test_haproxy_is_told_the_client(serve: Serve, nginx: Nginx, version: str) -> None:
    """HAProxy verifies the checksum, and tells nginx who it was told of."""
    haproxy = serve(Haproxy(f"{LOOPBACK}:{nginx.proxied}", bind="accept-proxy", server="send-proxy"))
    balancer = serve(balancer_before(haproxy.port, out=version))
    for _ in range(20):
        answer, asked_from = ask(balancer.port)
        assert answer == asked_from


@pytest.mark.parametrize(
    "options",
    ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority"],
)
@pytest.mark.parametrize("out", OUT)
def test_haproxy_tells_of_the_client(serve: Serve, nginx: Nginx, options: str, out: str) -> None:
    balancer = serve(balancer_before(nginx.proxied, out=out, trusted=LOOPBACK))
    haproxy = serve(Haproxy(f"{LOOPBACK}:{balancer.port}", server=options))
    for _ in range(20):
        answer, asked_from = ask(haproxy.port)
        assert answer == asked_from


def test_nginx_tells_of_the_client(serve: Serve, nginx: Nginx) -> None:
    balancer = serve(balancer_before(nginx.proxied, out="2", trusted=LOOPBACK))
    sender = serve(NginxSender(f"{LOOPBACK}:{balancer.port}"))
    for _ in range(20):
        answer, asked_from = ask(sender.port)
        assert answer == asked_from


def test_access_rules_are_about_the_client_that_haproxy_names(serve: Serve, nginx: Nginx) -> None:
    balancer = serve(balancer_before(nginx.port, trusted=LOOPBACK, access=f"deny {CLIENT}"))
    haproxy = serve(Haproxy(f"{LOOPBACK}:{balancer.port}", server="send-proxy-v2"))
    with pytest.raises((http.client.HTTPException, ConnectionError)):
        ask(haproxy.port, "/name")
    assert ask(haproxy.port, "/name", source="127.0.0.10")[0] == "nginx"


def test_haproxys_health_checks_are_local(serve: Serve, nginx: Nginx) -> None:
    """Version 2's LOCAL: accepted, and relayed as the connection of HAProxy itself, which it is."""
    balancer = serve(balancer_before(nginx.proxied, out="2", trusted=LOOPBACK))
    haproxy = serve(Haproxy(f"{LOOPBACK}:{balancer.port}", server="send-proxy-v2 check inter 100ms"))
    for _ in range(20):
        answer, asked_from = ask(haproxy.port)
        assert answer == asked_from
    assert "DOWN" not in haproxy.log_text()


def test_each_backend_gets_the_header_that_it_wants(serve: Serve, nginx: Nginx) -> None:
    """Without a word of it in the server: of four backends one wants version 1, one version 2, and two none."""
    wanting = Nginx("wanting")
    serve(wanting)
    ports = {
        f"{nginx.proxied} proxy_protocol=1",
        f"{wanting.proxied} proxy_protocol=2",
        nginx.port,
        f"{wanting.port} proxy_protocol=none",
    }
    balancer = serve(Balancer.before(*(f"{LOOPBACK}:{port}" for port in ports), balance="roundrobin"))
    answers = [ask(balancer.port, "/client") for _ in range(40)]
    told = [answer == asked_from for answer, asked_from in answers]
    assert (told.count(True), told.count(False)) == (20, 20)
    assert {answer for answer, asked_from in answers if answer != asked_from} == {":"}


@pytest.mark.parametrize("out", OUT)
@pytest.mark.parametrize("receiver", ["nginx", "haproxy"])
def test_health_checks_introduce_themselves(serve: Serve, nginx: Nginx, receiver: str, out: str) -> None:
    """Whoever waits for a header answers no request without one. It names nobody: what is seen is the balancer."""
    port = nginx.proxied
    if receiver == "haproxy":
        port = serve(Haproxy(f"{LOOPBACK}:{nginx.port}", bind="accept-proxy")).port
    balancer = balancer_before(port, out=out)
    check = {"kind": "http", "interval": "100ms", "http_expected_body": "nginx", "http_path": "/name"}
    with balancer.config.open("a") as config:
        config.write("[servers.web.healthcheck]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in check.items()))
    serve(balancer)
    assert f"backend {LOOPBACK}:{port} is healthy: http: status 200" in balancer.log_text()
    balancer.config.write_text(balancer.config.read_text() + "send_proxy = false\n")
    balancer.signal(signal.SIGHUP)
    until(lambda: f"backend {LOOPBACK}:{port} is unhealthy: http: " in balancer.log_text())
    text = balancer.config.read_text().replace("send_proxy = false", "")
    balancer.config.write_text(text.replace(f"proxy_protocol = {OUT[out]}", f"proxy_protocol = {OUT['1']}"))
    balancer.signal(signal.SIGHUP)
    until(lambda: balancer.log_text().count(f"backend {LOOPBACK}:{port} is healthy: http: status 200") == 2)


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_headers_of_others_are_refused(serve: Serve, nginx: Nginx) -> None:
    balancer = serve(balancer_before(nginx.port, trusted="192.0.2.0/24"))
    with socket.create_connection((LOOPBACK, balancer.port), timeout=20) as client:
        client.sendall(b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET /name HTTP/1.0\r\n\r\n")
        with contextlib.suppress(ConnectionResetError):
            assert client.recv(100) == b""


@pytest.mark.parametrize("out", OUT)
def test_every_request_of_a_load_arrives_whole(serve: Serve, nginx: Nginx, out: str) -> None:
    """Through HAProxy, the balancer and a header each, with many clients at once; and a large file."""
    digest_of = nginx.write_random("large", 20 << 20)
    balancer = serve(balancer_before(nginx.proxied, out=out, trusted=LOOPBACK))
    haproxy = serve(Haproxy(f"{LOOPBACK}:{balancer.port}", server="send-proxy-v2"))
    ab(f"http://{LOOPBACK}:{haproxy.port}/name", requests=2000, clients=20)
    assert digest_of == _digest(haproxy.port)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: ask(haproxy.port), range(200)))
    assert all(answer == asked_from for answer, asked_from in answers)


def _digest(port: int) -> str:
    import hashlib

    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=60)
    try:
        connection.request("GET", "/large")
        return hashlib.sha256(connection.getresponse().read()).hexdigest()
    finally:
        connection.close()
