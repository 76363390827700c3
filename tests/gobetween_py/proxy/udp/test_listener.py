import asyncio
import socket
from ipaddress import ip_network
from typing import Any

import pytest

from balancer import ACTIVE, REFUSED, TOTAL, TX, Backend
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.source import Source
from gobetween_py.proxy.udp import listener as module
from gobetween_py.proxy.udp.listener import IDLE, UdpListener
from gobetween_py.proxy.wheel import Wheel
from tests.gobetween_py.proxy.limits import no_fd_left
from tests.gobetween_py.proxy.udp.rig import UdpRig


async def test_after_a_refusal_the_next_datagram_goes_to_another_backend():
    async with UdpRig(backends=1, dead=1) as rig:
        client = rig.client()
        client.send(b"to the dead one")
        await rig.until(lambda: rig.count(REFUSED) == [1, 0])
        assert not rig.listener.connections
        assert await rig.ask(client, b"again") == b"re: again"
        assert await rig.ask(rig.client(), b"another client, in whose turn it were") == (
            b"re: another client, in whose turn it were"
        )
        assert rig.count(REFUSED) == [1, 0]


async def test_a_refusal_that_only_the_next_send_tells_of_does_not_cost_that_datagram():
    """Both datagrams lie in the listening socket before the first is looked at."""
    async with UdpRig(backends=1, dead=1) as rig:
        client = rig.client()
        for data in (b"1", b"2", b"3"):
            client.send(data)
        assert await rig.receive(rig.backends[0]) == b"2"
        assert await rig.receive(rig.backends[0]) == b"3"
        assert rig.count(REFUSED) == [1, 0]


async def test_a_refusal_is_read_once_and_keeps_nobody_busy():
    async with UdpRig(backends=0, dead=1) as rig:
        for _ in range(20):
            rig.client().send(b"refused")
        await rig.until(lambda: rig.count(REFUSED) == [20])
        before = rig.reactor.batches
        await asyncio.sleep(0.3)
        assert rig.reactor.batches - before < 10
        assert not rig.listener.connections


async def test_where_all_refuse_each_datagram_is_tried_all_the_same():
    async with UdpRig(backends=0, dead=2) as rig:
        client = rig.client()
        for number in range(1, 7):
            client.send(b"refused")
            await rig.until(lambda number=number: sum(rig.count(REFUSED)) == number)  # type: ignore[misc]
        assert len(rig.listener.avoided) == 2


async def test_a_backend_that_refused_is_tried_again_after_a_moment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "AVOIDED", 0.05)
    async with UdpRig(backends=1, dead=1) as rig:
        rig.client().send(b"to the dead one")
        await rig.until(lambda: rig.listener.avoided)
        await rig.until(lambda: not rig.listener.avoided)
        for _ in range(2):
            rig.client().send(b"to either")
        await rig.until(lambda: rig.count(REFUSED) == [2, 0])


async def test_another_address_of_the_same_backend_is_tried_first():
    async with UdpRig(backends=1) as rig:
        backend = rig.backend()
        good, bad = backend.sockaddr, ("127.0.0.1", 1)

        def next_address(asked: Backend, sockaddr: Any) -> bool:
            assert (asked, sockaddr) == (backend, bad)
            rig.pool.set_resolved(backend, socket.AF_INET, good)
            return True

        rig.listener.next_address = next_address
        rig.pool.set_resolved(backend, socket.AF_INET, bad)
        client = rig.client()
        client.send(b"to the bad address")
        await rig.until(lambda: backend.sockaddr == good)
        assert await rig.ask(client, b"again") == b"re: again"
        assert rig.count(REFUSED) == [0]


async def test_health_is_told_of_refusals():
    async with UdpRig(backends=0, dead=1) as rig:
        told: list[tuple[Backend, str]] = []
        rig.listener.on_refused = lambda backend, why: told.append((backend, why))
        rig.client().send(b"refused")
        await rig.until(lambda: told)
        assert told == [(rig.backend(), "Connection refused")]


async def test_a_way_that_is_not_there_counts_as_a_refusal():
    """No route: connect() itself fails, and the same datagram goes to the next backend."""
    async with UdpRig(backends=2) as rig:
        rig.pool.set_resolved(rig.backend(0), socket.AF_INET6, ("fe80::1", 9, 0, 0))  # link-local, but of which link?
        client = rig.client()
        assert await rig.ask(client, b"question", backend=1) == b"re: question"
        assert rig.count(REFUSED) == [1, 0]


async def test_without_backends_datagrams_are_dropped_and_counted():
    async with UdpRig(backends=0) as rig:
        told: list[tuple[str, int, Reason]] = []
        rig.listener.on_refusal = (lambda *why: told.append(why),)
        client = rig.client()
        client.send(b"1")
        client.send(b"2")
        await rig.until(lambda: rig.listener.refusals[Reason.NO_BACKEND.value] == 2)
        assert told == [(*client.getsockname(), Reason.NO_BACKEND)] * 2
        assert rig.counters.values[rig.listener.row + TOTAL] == 0


async def test_a_denied_client_gets_no_session():
    async with UdpRig(access=Access([(False, ip_network("127.0.0.0/8"))])) as rig:
        refused: list[tuple[str, int, Reason]] = []
        rig.listener.on_refusal = (lambda *why: refused.append(why),)
        client = rig.client()
        client.send(b"let me in")
        assert await rig.silent(rig.backends[0])
        assert refused == [(*client.getsockname(), Reason.ACCESS)]
        assert rig.count(TOTAL) == [0]


async def test_no_more_sessions_than_max_connections():
    """Those that have one go on, and one that ends makes room."""
    limited = Settings(max_connections=2, client_idle_timeout=60, datagrams=Datagrams(max_responses=2))
    async with UdpRig(settings=limited) as rig:
        first, second, third = (rig.client() for _ in range(3))
        for client in (first, second):
            await rig.ask(client, b"1")
        third.send(b"no room")
        assert await rig.silent(rig.backends[0])
        assert rig.listener.refusals[Reason.LIMIT.value] == 1
        assert await rig.ask(first, b"2") == b"re: 2"
        assert await rig.ask(third, b"room now") == b"re: room now"


async def test_a_full_backend_gets_no_session():
    async with UdpRig(backends=2) as rig:
        full = rig.backend(0)
        full.limit = 1
        clients = [rig.client() for _ in range(4)]
        for client, number in zip(clients, (0, 1, 1, 1), strict=True):
            await rig.ask(client, b"1", backend=number)
        assert rig.count(ACTIVE) == [1, 3]


@pytest.mark.parametrize("balance", ["weight", "roundrobin", "leastconn", "p2c", "iphash", "iphash1", "maglev"])
async def test_every_balancer_spreads_sessions(balance: str):
    """By their port too, or those that hash would take all of them for the same client."""
    by_port = Settings(client_idle_timeout=60, datagrams=Datagrams(hash_port=True))
    async with UdpRig(backends=3, balance=balance, settings=by_port) as rig:
        for _ in rig.pool.pending:
            pass
        for _ in range(90):
            rig.client().send(b"1")
        await rig.until(lambda: sum(rig.count(TOTAL)) == 90)
        assert min(rig.count(TOTAL)) >= 12


async def test_leastbandwidth_goes_by_what_the_datagrams_carry():
    async with UdpRig(backends=2, balance="leastbandwidth") as rig:
        rig.client().send(bytes(1000))
        await rig.until(lambda: sum(rig.count(TX)) == 1000)
        loaded = rig.count(TX).index(1000)
        rig.pool.tick(1.0)
        for _ in range(10):
            assert await rig.ask(rig.client(), b"1", backend=1 - loaded) == b"re: 1"


async def test_sessions_of_one_machine_have_one_backend_where_only_its_address_is_hashed():
    async with UdpRig(backends=3, balance="iphash") as rig:
        for _ in range(30):
            rig.client().send(b"1")
        await rig.until(lambda: sum(rig.count(TOTAL)) == 30)
        assert sorted(rig.count(TOTAL)) == [0, 0, 30]


async def test_settings_change_in_place():
    async with UdpRig() as rig:
        client = rig.client()
        await rig.ask(client, b"1")
        rig.listener.configure(Settings(datagrams=Datagrams(max_responses=2)))
        assert rig.listener.idle_ticks == Wheel.ticks(IDLE)
        await rig.ask(client, b"2")
        assert not rig.listener.connections


async def test_out_of_fds_open_sessions_go_on():
    async with UdpRig() as rig:
        known, unknown = rig.client(), rig.client()
        await rig.ask(known, b"1")
        with no_fd_left():
            unknown.send(b"no room")
            await rig.until(lambda: rig.listener.refusals[Reason.RESOURCES.value] == 1)
            assert await rig.ask(known, b"2") == b"re: 2"
        assert await rig.ask(unknown, b"room now") == b"re: room now"
        assert rig.count(REFUSED) == [0]
        assert rig.count(ACTIVE) == [2]


async def test_a_source_that_cannot_be_taken_is_no_fault_of_the_backend():
    """An IPv4 client cannot be the source of an IPv6 datagram."""
    async with UdpRig(settings=Settings(client_idle_timeout=60, source=Source(transparent=True))) as rig:
        rig.pool.set_resolved(rig.backend(), socket.AF_INET6, ("::1", 9, 0, 0))
        rig.client().send(b"question")
        await rig.until(lambda: rig.listener.refusals[Reason.RESOURCES.value] == 1)
        assert rig.count(REFUSED) == rig.count(ACTIVE) == [0]


async def test_a_second_server_may_share_the_reactor():
    async with UdpRig() as rig:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind(("127.0.0.1", 0))
            address = sock.getsockname()
            other = UdpListener("other", sock, rig.reactor, rig.pool, rig.counters)
            assert await rig.ask(rig.client(to=address), b"1") == b"re: 1"
            assert await rig.ask(rig.client(), b"2") == b"re: 2"
            assert len(other.connections) == len(rig.listener.connections) == 1
            other.stop_accepting()
            other.close_connections()
