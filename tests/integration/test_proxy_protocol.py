"""The PROXY protocol with HAProxy and nginx, as senders and as receivers; and as the balancer's own chain."""

import contextlib
import http.client
import json
import signal
import socket
import ssl
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dns.exception
import dns.message
import dns.query
import dns.rdatatype
import pytest

from gobetween_py.proxy import proxy_protocol
from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.dnsdist import DnsdistReceiver, DnsdistSender
from tests.services.haproxy import Haproxy
from tests.services.jsonapi import JsonApi
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


def test_a_header_may_be_set_by_hand(serve: Serve, nginx: Nginx) -> None:
    """In the config, and over the API: nothing else in it speaks of headers."""
    api = JsonApi(LOOPBACK, free_port())
    balancer = Balancer.before(f"{LOOPBACK}:{nginx.proxied}")
    with balancer.config.open("a") as config:
        config.write(f'[[servers.web.backends]]\naddress = "{LOOPBACK}:{nginx.proxied}"\nproxy_protocol = "1"\n')
        config.write(f'[api]\nenabled = true\nbind = "{LOOPBACK}:{api.port}"\n')
    serve(balancer)
    path = f"/servers/web/backends/{LOOPBACK}:{nginx.proxied}"
    for version in "1", "2":
        assert api.get(path)["proxy_protocol"] == version
        answer, asked_from = ask(balancer.port)
        assert answer == asked_from
        api.request("PATCH", path, {"proxy_protocol": "2"})
    api.request("PATCH", path, {"proxy_protocol": "none"})
    with pytest.raises((http.client.HTTPException, ConnectionError, AssertionError)):
        ask(balancer.port)


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


def test_haproxy_tells_of_clients_whose_tls_ends_with_us(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    """The header and the ClientHello come together, or one after the other."""
    authority = Authority(tmp_path)
    own = authority.issue("tls.test")
    balancer = balancer_before(nginx.proxied, out="2", trusted=LOOPBACK)
    text = balancer.config.read_text().replace("[servers.web]", '[servers.web]\nprotocol = "tls"')
    tls = f'[servers.web.tls]\ncert_path = "{own.certificate}"\nkey_path = "{own.key}"\n'
    balancer.config.write_text(text + tls)
    serve(balancer)
    haproxy = serve(Haproxy(f"{LOOPBACK}:{balancer.port}", server="send-proxy-v2"))
    for pause in (0.0, 0.1) * 10:
        with socket.create_connection((LOOPBACK, haproxy.port), timeout=20, source_address=(CLIENT, 0)) as plain:
            asked_from = "{}:{}".format(*plain.getsockname())
            time.sleep(pause)
            with authority.context().wrap_socket(plain, server_hostname="tls.test") as client:
                client.sendall(b"GET /client HTTP/1.0\r\n\r\n")
                with client.makefile("rb") as answer:
                    assert answer.read().endswith(asked_from.encode())


# over UDP


def asked_by(port: int, source: str = CLIENT) -> str:
    """Who a receiver at the end of the chain took the one for who asks it."""
    question = dns.message.make_query("who.test", dns.rdatatype.A)
    answer = dns.query.udp(question, LOOPBACK, port=port, source=source, timeout=10)
    return str(answer.answer[0][0])


def test_dnsdist_is_told_the_client_of_each_datagram(serve: Serve) -> None:
    """It hears none that comes without a header."""
    receiver = serve(DnsdistReceiver())
    balancer = serve(udp_balancer_before(receiver.host, out=True))
    for client in [CLIENT, "127.0.0.10"] * 3:
        assert asked_by(balancer.port, client) == client
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(10)
        client.bind((CLIENT, 0))
        client.connect((LOOPBACK, balancer.port))
        for _ in range(5):  # one session
            question = dns.message.make_query("who.test", dns.rdatatype.A)
            client.send(question.to_wire())
            answer = dns.message.from_wire(client.recv(512))
            assert (answer.id, str(answer.answer[0][0])) == (question.id, CLIENT)


def test_dnsdist_tells_of_its_clients_over_udp(serve: Serve) -> None:
    """It has a socket for all of them, and asks for the answers by their ids. Access rules are about the clients."""
    receiver = serve(DnsdistReceiver())
    balancer = serve(udp_balancer_before(receiver.host, out=True, trusted=LOOPBACK, access="deny 127.0.0.13"))
    sender = serve(DnsdistSender(f"{LOOPBACK}:{balancer.port}"))
    clients = [f"127.0.0.{number}" for number in range(20, 30)]
    with ThreadPoolExecutor(len(clients)) as threads:
        answers = list(threads.map(lambda client: [asked_by(sender.port, client) for _ in range(20)], clients))
    assert answers == [[client] * 20 for client in clients]
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query("who.test", "A"), LOOPBACK, 0.3, sender.port, "127.0.0.13")


def test_who_is_not_trusted_is_not_heard_over_udp(serve: Serve) -> None:
    receiver = serve(DnsdistReceiver())
    balancer = serve(udp_balancer_before(receiver.host, out=True, trusted="192.0.2.0/24"))
    sender = serve(DnsdistSender(f"{LOOPBACK}:{balancer.port}"))
    with pytest.raises(dns.exception.Timeout):
        dns.query.udp(dns.message.make_query("who.test", "A"), LOOPBACK, 0.3, sender.port)
    until(lambda: "client refused: untrusted proxy" in balancer.log_text())


def test_a_check_of_a_udp_backend_introduces_itself(serve: Serve) -> None:
    receiver = serve(DnsdistReceiver())
    balancer = udp_balancer_before(receiver.host, out=True)
    query = "".join(f"\\x{byte:02x}" for byte in dns.message.make_query("who.test", "A", id=0x4142).to_wire())
    check = {"kind": "probe", "probe_protocol": "udp", "interval": "100ms", "probe_send": query, "probe_recv": "AB"}
    with balancer.config.open("a") as config:
        config.write("[servers.web.healthcheck]\n" + "".join(f"{key} = {json.dumps(v)}\n" for key, v in check.items()))
    serve(balancer)
    assert asked_by(balancer.port) == CLIENT
    assert f"backend {receiver.host} is healthy: probe: answered 'AB'" in balancer.log_text()


def udp_balancer_before(backend: str, *, out: bool = False, trusted: str = "", access: str = "") -> Balancer:
    port = free_port()
    lines = [
        "[servers.web]",
        f'bind = "{LOOPBACK}:{port}"',
        'protocol = "udp"',
        'client_idle_timeout = "10s"',
        'shutdown_timeout = "1s"',
        'proxy_protocol = { version = "2", tlvs = ["unique_id"] }' if out else "",
        f'proxy_protocol_in = {{ trusted = ["{trusted}"] }}' if trusted else "",
        f'access = {{ rules = ["{access}"] }}' if access else "",
        f'discovery = {{ kind = "static", static_list = ["{backend}"] }}',
    ]
    balancer = Balancer("\n".join([*lines, ""]))
    balancer.port = port
    return balancer


# what TLS the client speaks


@pytest.mark.parametrize("certified", [False, True], ids=["anonymous", "certified"])
@pytest.mark.parametrize("version", ["TLSv1.2", "TLSv1.3"])
def test_of_tls_the_same_is_told_as_by_haproxy(serve: Serve, tmp_path: Path, version: str, certified: bool) -> None:
    """Byte for byte, but for the order: of a full handshake and of a resumed one."""
    authority = Authority(tmp_path)
    own = authority.issue("tls.test")
    both = tmp_path / "both.pem"
    both.write_text(own.certificate.read_text() + own.key.read_text())
    with socket.create_server((LOOPBACK, 0)) as backend:
        backend.settimeout(20)
        port = backend.getsockname()[1]
        bind = f"ssl crt {both} ca-file {authority.ca} verify optional"
        options = "send-proxy-v2-ssl-cn proxy-v2-options ssl,cert-cn,ssl-cipher,authority"
        haproxy = serve(Haproxy(f"{LOOPBACK}:{port}", bind=bind, server=options))
        balancer = Balancer.before(
            f"{LOOPBACK}:{port}",
            protocol="tls",
            **{
                "tls.cert_path": str(own.certificate),
                "tls.key_path": str(own.key),
                "tls.client_ca_path": str(authority.ca),
                "tls.client_auth": "request",
                "tls.session_tickets": True,
                "proxy_protocol.version": "2",
                "proxy_protocol.tlvs": ["ssl", "authority"],
            },
        )
        serve(balancer)
        context = authority.context(authority.issue("client.test") if certified else None)
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version.replace(".", "_")]
        told = {}
        for name, proxy in ("haproxy", haproxy.port), ("pygobetween", balancer.port):
            session, told[name] = None, []
            for resumed in False, True:
                with context.wrap_socket(
                    socket.create_connection((LOOPBACK, proxy), timeout=20),
                    server_hostname="tls.test",
                    session=session,
                ) as client:
                    accepted, _ = backend.accept()
                    with accepted:
                        client.sendall(b"question")
                        header = _header_of(accepted)
                        assert header.value(proxy_protocol.AUTHORITY) == b"tls.test"
                        told[name].append(_ssl_of(header))
                        accepted.sendall(b"answer")
                        assert client.recv(100) == b"answer"  # and the tickets before it
                    assert client.session_reused is resumed
                    session = client.session
        for theirs, ours in zip(told["haproxy"], told["pygobetween"], strict=True):
            assert ours[0] == theirs[0]
            assert ours[2] == theirs[2]
            assert bool(ours[1]) is not certified  # HAProxy tells 0, valid, where there is no certificate
        assert told["pygobetween"][0][2][0x21] == version.encode()
        assert told["pygobetween"][0][2].get(0x22) == (b"client.test" if certified else None)


def _header_of(accepted: socket.socket) -> proxy_protocol.Header:
    """What a connection begins with."""
    accepted.settimeout(20)
    data = b""
    while (parsed := proxy_protocol.parse(data)) is None:
        data += accepted.recv(4096)
    return parsed[0]


def _ssl_of(header: proxy_protocol.Header) -> tuple[int, int, dict[int, bytes]]:
    """The TLV of type SSL: its bits, the verification, and its own TLVs."""
    value = header.value(proxy_protocol.SSL)
    assert value is not None
    bits, verified = struct.unpack_from(">BI", value)
    found, at = {}, 5
    while at < len(value):
        kind, size = struct.unpack_from(">BH", value, at)
        found[kind] = value[at + 3 : at + 3 + size]
        at += 3 + size
    return bits, verified, found


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
