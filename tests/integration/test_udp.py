"""UDP through the running balancer: real DNS, with every question and answer counted, and thousands of clients."""

import contextlib
import os
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NoReturn

import dns.message
import dns.rdatatype
import pytest

from gobetween_py.proxy.front import GRACE
from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.dig import dig
from tests.services.jsonapi import JsonApi
from tests.services.load import DnsLoad, dnsperf
from tests.services.networks import (
    BACKEND,
    BACKEND_6,
    CLIENT,
    CLIENT_6,
    FORBIDDEN,
    FORBIDDEN_6,
    FRONT,
    FRONT_6,
    Networks,
)
from tests.services.nsd import Nsd
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

ZONE = "example.test"
NAMES = [f"n{number}" for number in range(100)]
QUESTIONS = [f"{name}.{ZONE} A" for name in NAMES]
SESSIONS = 10_000


def before(*backends: str, **keys: str | int) -> Balancer:
    """A balancer of UDP; keys of the section [udp] have a dot: **{"udp.max_responses": 1}."""
    return Balancer.before(*backends, protocol="udp", **{"balance": "roundrobin", "client_idle_timeout": "5s", **keys})


def name_server(serve: Serve, address: str = "127.0.0.9") -> Nsd:
    """One that knows all NAMES, and gives away who it is by `who`."""
    nsd = serve(Nsd())
    texts = [f'big TXT "{number:04} {"x" * 200}"' for number in range(15)]
    hosts = [f"{name} A 192.0.2.{number}" for number, name in enumerate(NAMES)]
    nsd.write_zone(ZONE, [f"who A {address}", "six AAAA 2001:db8::1", *hosts, *texts])
    return nsd


def queries(nsd: Nsd) -> int:
    """Queries over UDP that the server has counted since the last call."""
    done = nsd._control("stats")
    assert done.returncode == 0, done.stderr
    return next(int(line.partition("=")[2]) for line in done.stdout.splitlines() if line.startswith("num.udp="))


def unavailable(reason: str) -> NoReturn:
    """Skips the test, or fails it where everything has to be there."""
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def until(holds: Callable[[], object], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def open_files(process: Balancer) -> int:
    return len(os.listdir(f"/proc/{process.pid}/fd"))


def test_dig_gets_the_answers_of_the_name_server(serve: Serve) -> None:
    nsd = name_server(serve)
    balancer = serve(before(nsd.host))
    for name, kind, *flags in (("n7", "A"), ("six", "AAAA"), ("big", "TXT", "+bufsize=4096", "+ignore"), ("ns", "A")):
        direct = dig(nsd.port, f"{name}.{ZONE}", kind, *flags)
        assert direct
        assert sorted(dig(balancer.port, f"{name}.{ZONE}", kind, *flags)) == sorted(direct)


@pytest.mark.parametrize("bind", ["", "[::1]", LOOPBACK])
def test_dig_gets_an_answer_from_where_it_asked(serve: Serve, bind: str) -> None:
    """dig takes no answer from another address. A balancer of all addresses has two protocols and many of them."""
    nsd = name_server(serve)
    balancer = before(nsd.host)
    balancer.config.write_text(
        balancer.config.read_text().replace(f"{LOOPBACK}:{balancer.port}", f"{bind}:{balancer.port}")
    )
    serve(balancer)
    for host in {"": [LOOPBACK, "127.1.2.3", "::1"], "[::1]": ["::1"]}.get(bind, [bind]):
        assert dig(balancer.port, f"n7.{ZONE}", host=host) == ["192.0.2.7"]


def test_no_query_of_dnsperf_is_lost(serve: Serve) -> None:
    """100 sockets, each with a session of its own; what both servers count is what was asked."""
    servers = [name_server(serve), name_server(serve)]
    balancer = serve(before(*(nsd.host for nsd in servers)))
    for nsd in servers:
        queries(nsd)
    assert dnsperf(balancer.port, QUESTIONS, queries=50_000, clients=100, outstanding=200) == DnsLoad(50_000, 50_000, 0)
    shares = [queries(nsd) for nsd in servers]
    assert sum(shares) == 50_000
    assert min(shares) > 20_000


def test_with_a_session_for_each_query_the_servers_share_evenly_and_none_is_lost(serve: Serve) -> None:
    servers = [name_server(serve), name_server(serve)]
    balancer = serve(before(*(nsd.host for nsd in servers), **{"udp.max_requests": 1, "udp.max_responses": 1}))
    for nsd in servers:
        queries(nsd)
    assert dnsperf(balancer.port, QUESTIONS, queries=20_000, clients=5, outstanding=50) == DnsLoad(20_000, 20_000, 0)
    assert [queries(nsd) for nsd in servers] == [10_000, 10_000]
    idle = open_files(balancer)
    dig(balancer.port, f"n1.{ZONE}")
    until(lambda: open_files(balancer) == idle)


def test_a_name_server_that_dies_costs_dig_no_answer(serve: Serve) -> None:
    """One question goes to it and is refused: dig asks again, and is answered elsewhere. It is back a while later."""
    servers = [name_server(serve, "127.0.0.1"), name_server(serve, "127.0.0.2")]
    balancer = serve(before(*(nsd.host for nsd in servers), **{"udp.max_responses": 1}))

    def askers() -> Counter[str]:
        return Counter(dig(balancer.port, f"who.{ZONE}")[0] for _ in range(10))

    assert askers() == {"127.0.0.1": 5, "127.0.0.2": 5}
    servers[0].kill()
    assert askers() == {"127.0.0.2": 10}
    assert "refused: Connection refused" in balancer.log_text()
    servers[0].start()
    until(lambda: len(askers()) == 2)


def probe_udp(balancer: Balancer, *more: str) -> None:
    """Add a check that asks for `who` over UDP, and wants an answer without error, from an authority."""
    question = dns.message.make_query(f"who.{ZONE}", dns.rdatatype.A)
    question.id = 0x4142
    escaped = "".join(f"\\\\x{byte:02x}" for byte in question.to_wire())
    keys = ['kind = "probe"', 'probe_protocol = "udp"', 'interval = "100ms"', 'timeout = "1s"', *more]
    keys += [f'probe_send = "{escaped}"', 'probe_recv = "AB\\\\x85\\\\x00"']
    with balancer.config.open("a") as config:
        config.write("\n".join(["[servers.web.healthcheck]", *keys, ""]))


def test_a_probe_over_udp_takes_out_a_server_that_answers_wrongly(serve: Serve) -> None:
    """REFUSED comes back as quickly as an answer does: no connect fails, only the check notices."""
    servers = [name_server(serve, "127.0.0.1"), name_server(serve, "127.0.0.2")]
    balancer = before(*(nsd.host for nsd in servers), **{"udp.max_responses": 1})
    probe_udp(balancer)
    serve(balancer)

    def answers() -> list[list[str]]:
        return [dig(balancer.port, f"who.{ZONE}") for _ in range(10)]

    until(lambda: sorted(answers()) == [["127.0.0.1"]] * 5 + [["127.0.0.2"]] * 5)
    servers[0].delete_zone(ZONE)
    until(lambda: "is unhealthy" in balancer.log_text())
    until(lambda: answers() == [["127.0.0.2"]] * 10)  # what checks find is gathered for a moment before it counts


@pytest.mark.parametrize("on_down", ["keep", "close"])
def test_sessions_of_a_backend_that_goes_down_end_where_that_is_asked_for(serve: Serve, on_down: str) -> None:
    servers = {address: name_server(serve, address) for address in ("127.0.0.1", "127.0.0.2")}
    balancer = before(*(nsd.host for nsd in servers.values()))
    probe_udp(balancer, f'on_down = "{on_down}"')
    serve(balancer)
    question = dns.message.make_query(f"who.{ZONE}", dns.rdatatype.A)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((LOOPBACK, balancer.port))

        def asked() -> str | None:
            client.send(question.to_wire())
            answer = dns.message.from_wire(client.recv(4096))
            return str(answer.answer[0][0]) if answer.answer else None

        first = asked()
        servers.pop(str(first)).delete_zone(ZONE)
        (other,) = servers
        # Newcomers would be given to both in turn.
        until(lambda: [dig(balancer.port, f"who.{ZONE}") for _ in range(2)] == [[other]] * 2)
        now = other if on_down == "close" else None
        until(lambda: asked() == now)
        assert [asked() for _ in range(5)] == [now] * 5


@contextlib.contextmanager
def many_clients(count: int, port: int) -> Iterator[list[socket.socket]]:
    """Sockets connected to the balancer, each on a loopback address and port of its own.

    Their ports are below those that the kernel gives away: sessions take as many of these.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = max(hard, count + 1000)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, wanted))
    except ValueError:
        unavailable(f"{count} clients need as many files, and only {hard} are allowed")
    clients: list[socket.socket] = []
    try:
        for number in range(count):
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            clients.append(client)
            client.bind((f"127.9.{number // 250}.{number % 250 + 1}", 1053))
            client.connect((LOOPBACK, port))
            client.settimeout(10)
        yield clients
    finally:
        for client in clients:
            client.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, wanted))


def anonymous_kib(process: Balancer) -> int:
    """Memory that is no file's."""
    rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
    return next(int(row.split()[1]) for row in rows if row.startswith("Anonymous:"))


def test_ten_thousand_sessions_are_open_at_once_cost_little_and_end_on_time(serve: Serve) -> None:
    nsd = name_server(serve)
    balancer = serve(before(nsd.host, client_idle_timeout="12s"))
    questions = [dns.message.make_query(f"{name}.{ZONE}", dns.rdatatype.A) for name in NAMES]
    dig(balancer.port, f"n1.{ZONE}")
    idle, memory = open_files(balancer), anonymous_kib(balancer)
    with many_clients(SESSIONS, balancer.port) as clients:
        for turn in range(2):
            for first in range(0, SESSIONS, 100):  # so many at a time as the name server's socket surely holds
                some = clients[first : first + 100]
                for client, question in zip(some, questions, strict=True):
                    client.send(question.to_wire())
                for client, question in zip(some, questions, strict=True):
                    answer = dns.message.from_wire(client.recv(4096)) if turn else client.recv(4096)
                    assert turn == 0 or question.is_response(answer)
            if turn == 0:
                assert open_files(balancer) >= idle + SESSIONS - 1
                assert anonymous_kib(balancer) - memory < 2 * SESSIONS  # KiB
        until(lambda: open_files(balancer) < idle, 60)
    assert dig(balancer.port, f"n7.{ZONE}") == ["192.0.2.7"]


def test_sessions_go_on_over_a_reload_and_until_the_server_stops(serve: Serve) -> None:
    nsd = name_server(serve)
    balancer = serve(before(nsd.host, shutdown_timeout="20s"))
    question = dns.message.make_query(f"n7.{ZONE}", dns.rdatatype.A)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((LOOPBACK, balancer.port))

        def ask() -> bool:
            client.send(question.to_wire())
            return question.is_response(dns.message.from_wire(client.recv(4096)))

        assert ask()
        held = open_files(balancer)
        text = balancer.config.read_text()
        balancer.config.write_text(text.replace("[servers.web]", "[servers.web]\nmax_connections = 7"))
        balancer.signal(signal.SIGHUP)
        until(lambda: "changed web" in balancer.log_text())
        assert ask()
        assert open_files(balancer) == held
        balancer.signal(signal.SIGTERM)
        until(lambda: "SIGTERM" in balancer.log_text())

        def strangers_are_unheard() -> bool:
            try:
                dig(balancer.port, f"n7.{ZONE}", "A", "+tries=1", "+time=1")
            except ConnectionError:
                return True
            return False

        until(strangers_are_unheard)  # the log tells of the signal before the socket is shut
        assert ask()
        balancer.signal(signal.SIGTERM)
        assert balancer.process is not None
        assert balancer.process.wait(10) == 0


def test_a_server_that_is_renamed_under_load_loses_no_query(serve: Serve) -> None:
    """Its socket goes to the new one, with what waits in it; the old sessions bring the answers under way."""
    nsd = name_server(serve)
    balancer = serve(before(nsd.host, shutdown_timeout="20s"))
    text = balancer.config.read_text()
    with ThreadPoolExecutor(1) as executor:
        load = executor.submit(dnsperf, balancer.port, QUESTIONS, queries=100_000, clients=50, outstanding=50)
        for number in range(1, 6):
            balancer.config.write_text(text.replace("servers.web", f"servers.web{number}"))
            balancer.signal(signal.SIGHUP)
            until(lambda number=number: f"added web{number}" in balancer.log_text())  # type: ignore[misc]
        assert not load.done()
        assert load.result() == DnsLoad(100_000, 100_000, 0)


@pytest.mark.parametrize("limit", [0, 1], ids=["sessions that last", "a session for each query"])
def test_a_bind_that_is_widened_and_narrowed_under_load_loses_no_query(serve: Serve, limit: int) -> None:
    """The address before has closed its door, or its socket, when the next change comes."""
    nsd = name_server(serve)
    balancer = serve(before(nsd.host, **{"udp.max_requests": limit, "udp.max_responses": limit}))
    text = balancer.config.read_text()
    with ThreadPoolExecutor(1) as executor:
        load = executor.submit(dnsperf, balancer.port, QUESTIONS, queries=20_000, clients=20, rate=2000)
        for number, host in enumerate(("", LOOPBACK, "0.0.0.0"), 1):
            balancer.config.write_text(text.replace(f'bind = "{LOOPBACK}:', f'bind = "{host}:'))
            balancer.signal(signal.SIGHUP)
            until(lambda number=number: balancer.log_text().count("changed web (bind)") == number)  # type: ignore[misc]
            time.sleep(GRACE + 0.5)
        assert not load.done()
        assert load.result() == DnsLoad(20_000, 20_000, 0)


def test_a_server_that_was_removed_may_come_back_while_its_sessions_end(serve: Serve) -> None:
    """They hold its address, which no other program has."""
    nsd = name_server(serve)
    balancer = serve(before(nsd.host, shutdown_timeout="60s"))
    text = balancer.config.read_text()
    question = dns.message.make_query(f"n7.{ZONE}", dns.rdatatype.A)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((LOOPBACK, balancer.port))
        for number, config in enumerate((text.replace(f":{balancer.port}", f":{free_port()}"), text), 1):
            client.send(question.to_wire())
            assert question.is_response(dns.message.from_wire(client.recv(4096)))
            balancer.config.write_text(config.replace("servers.web", f"servers.web{number}"))
            balancer.signal(signal.SIGHUP)
            until(lambda number=number: f"added web{number}; removed" in balancer.log_text())  # type: ignore[misc]
        client.send(question.to_wire())
        assert question.is_response(dns.message.from_wire(client.recv(4096)))
        assert "web: ended" not in balancer.log_text()


def test_the_api_shows_sessions_and_ends_them(serve: Serve) -> None:
    nsd = name_server(serve)
    balancer = before(nsd.host)
    api = JsonApi(LOOPBACK, free_port())
    with balancer.config.open("a") as config:
        config.write(f'[api]\nenabled = true\nbind = "{LOOPBACK}:{api.port}"\n')
    serve(balancer)
    question = dns.message.make_query(f"n7.{ZONE}", dns.rdatatype.A).to_wire()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.settimeout(5)
        client.connect((LOOPBACK, balancer.port))
        client.send(question)
        answer = client.recv(4096)
        (session,) = api.get("/servers/web/connections")["connections"]
        assert session["client"] == f"{LOOPBACK}:{client.getsockname()[1]}"
        assert session["backend"] == nsd.host
        assert (session["tx"], session["rx"]) == (len(question), len(answer))
        stats = api.get("/servers/web/stats")
        assert stats["active_connections"] == stats["backends"][0]["stats"]["active_connections"] == 1
        assert stats["backends"][0]["stats"]["tx"] == len(question)
        api.request("DELETE", f"/servers/web/connections/{session['id']}")
        assert api.get("/servers/web/connections")["connections"] == []
        client.send(question)
        assert len(client.recv(4096)) == len(answer)


def test_a_port_in_use_is_one_line_with_the_remedy(serve: Serve) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind((LOOPBACK, 0))
        port = taken.getsockname()[1]
        balancer = Balancer.before(f"{LOOPBACK}:1", bind=f"{LOOPBACK}:{port}", protocol="udp", client_idle_timeout="1s")
        with pytest.raises(Exception, match=rf"the port is in use: .*ss -lunp 'sport = :{port}'"):
            serve(balancer)


@pytest.mark.parametrize(
    "hosts", [(FRONT, FORBIDDEN, BACKEND), (FRONT_6, FORBIDDEN_6, BACKEND_6)], ids=["IPv4", "IPv6"]
)
def test_what_a_firewall_refuses_goes_to_another_backend(
    serve: Serve, networks: Networks, hosts: tuple[str, str, str]
) -> None:
    networks.forbid()
    front, forbidden, backend = (f"[{host}]" if ":" in host else host for host in hosts)
    family = socket.AF_INET6 if ":" in front else socket.AF_INET
    with networks.inside("backend"):
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((hosts[2], 5300))
    with networks.inside("client"):
        asker = socket.socket(family, socket.SOCK_DGRAM)
    lines = (f"{forbidden}:5300 weight=1000", f"{backend}:5300 weight=1")
    balancer = Balancer.before(*lines, bind=f"{front}:5353", protocol="udp", client_idle_timeout="5s", balance="weight")
    with server, asker:
        with networks.inside("balancer"):
            serve(balancer)
        asker.connect((hosts[0], 5353))
        asker.send(b"to be lost")
        until(lambda: "refused: " in balancer.log_text())
        server.settimeout(5)
        asker.send(b"question")
        data, peer = server.recvfrom(100)
        server.sendto(b"re: " + data, peer)
        asker.settimeout(5)
        assert asker.recv(100) == b"re: question"


def test_fire_and_forget_may_be_transparent_and_keeps_no_socket(serve: Serve, networks: Networks) -> None:
    with networks.inside("backend"):
        server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        server.bind((BACKEND, 5140))
    with networks.inside("client"):
        senders = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(20)]
    balancer = Balancer.before(
        f"{BACKEND}:5140",
        bind=f"{FRONT}:5140",
        protocol="udp",
        **{"udp.transparent": True, "udp.max_requests": 1},
    )
    with networks.inside("balancer"):
        serve(balancer)
    idle = open_files(balancer)
    with server, contextlib.ExitStack() as stack:
        server.settimeout(5)
        for number, sender in enumerate(senders):
            stack.enter_context(sender).sendto(b"%d" % number, (FRONT, 5140))
            assert server.recvfrom(100) == (b"%d" % number, (CLIENT, sender.getsockname()[1]))
        until(lambda: open_files(balancer) == idle)


@pytest.mark.parametrize("transparent", [True, False], ids=["transparent", "not transparent"])
@pytest.mark.parametrize("hosts", [(FRONT, CLIENT, BACKEND), (FRONT_6, CLIENT_6, BACKEND_6)], ids=["IPv4", "IPv6"])
def test_the_backend_sees_the_client_where_that_is_asked_for(
    serve: Serve, networks: Networks, hosts: tuple[str, str, str], transparent: bool
) -> None:
    front, client, backend = hosts
    networks.intercept()
    family = socket.AF_INET6 if ":" in front else socket.AF_INET
    with networks.inside("backend"):
        server = socket.socket(family, socket.SOCK_DGRAM)
        server.bind((backend, 5300))
    with networks.inside("client"):
        asker = socket.socket(family, socket.SOCK_DGRAM)
    with server, asker:
        server.settimeout(5)
        asker.settimeout(5)
        bind, line = (f"[{front}]:5353", f"[{backend}]:5300") if ":" in front else (f"{front}:5353", f"{backend}:5300")
        balancer = Balancer.before(
            line, bind=bind, protocol="udp", client_idle_timeout="5s", **{"udp.transparent": transparent}
        )
        with networks.inside("balancer"):
            serve(balancer)
        asker.connect((front, 5353))
        for number in range(3):
            asker.send(b"question %d" % number)
            data, peer = server.recvfrom(100)
            assert data == b"question %d" % number
            assert (peer[:2] == asker.getsockname()[:2]) is transparent
            assert (peer[0] == client) is transparent
            server.sendto(b"answer %d" % number, peer)
            assert asker.recv(100) == b"answer %d" % number
