"""Fire-and-forget: max_requests = 1, and nobody waits for answers."""

import os

from balancer import ACTIVE, REFUSED, RX, TOTAL, TX
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.udp import oneway
from tests.gobetween_py.proxy.udp.rig import UdpRig

ONE_WAY = Settings(datagrams=Datagrams(max_requests=1))


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


async def test_datagrams_are_spread_one_by_one_without_a_socket_for_each():
    async with UdpRig(backends=2, settings=ONE_WAY) as rig:
        clients = [rig.client() for _ in range(20)]
        before = open_files()
        for number in range(10):
            for client in clients:
                client.send(b"%03d" % number)
        got = [[await rig.receive(backend) for _ in range(100)] for backend in rig.backends]
        assert got[0] == got[1] == [b"%03d" % number for number in range(10) for _ in range(10)]
        assert open_files() == before + 2
        assert rig.count(TOTAL) == [100, 100]
        assert rig.count(TX) == [300, 300]
        assert rig.count(ACTIVE) == [0, 0]
        assert rig.counters.values[rig.listener.row + TOTAL] == 200
        assert not rig.listener.connections


async def test_answers_go_nowhere_and_keep_nobody_busy():
    async with UdpRig(settings=ONE_WAY) as rig:
        client = rig.client()
        client.send(b"1")
        _, peer = await rig.take(rig.backends[0])
        for _ in range(1000):
            rig.backends[0].sendto(bytes(100), peer)
        before = rig.reactor.batches
        assert await rig.silent(client)
        assert rig.reactor.batches - before < 10
        assert rig.count(RX) == [0]


async def test_after_a_refusal_the_next_datagrams_go_elsewhere():
    async with UdpRig(backends=1, dead=1, settings=ONE_WAY) as rig:
        client = rig.client()
        client.send(b"to the dead one")
        await rig.until(lambda: rig.count(REFUSED) == [1, 0])
        for number in range(5):
            client.send(b"%d" % number)
            assert await rig.receive(rig.backends[0]) == b"%d" % number
        assert rig.count(REFUSED) == [1, 0]


async def test_a_refusal_that_only_the_next_send_tells_of_does_not_cost_that_datagram():
    async with UdpRig(backends=1, dead=1, settings=ONE_WAY) as rig:
        client = rig.client()
        for number in range(5):
            client.send(b"%d" % number)
        # 0 and 2 are the dead one's turn: 0 is refused, 2 meets that refusal and goes on.
        assert [await rig.receive(rig.backends[0]) for _ in range(4)] == [b"1", b"2", b"3", b"4"]
        assert rig.count(REFUSED) == [1, 0]


async def test_where_all_refuse_nothing_breaks():
    async with UdpRig(backends=0, dead=2, settings=ONE_WAY) as rig:
        client = rig.client()
        for _ in range(10):
            client.send(b"refused")
        await rig.until(lambda: sum(rig.count(REFUSED)) > 1)
        assert rig.count(ACTIVE) == [0, 0]


async def test_the_socket_to_a_backend_that_is_gone_is_closed_after_a_while():
    async with UdpRig(settings=ONE_WAY) as rig:
        client = rig.client()
        before = open_files()
        client.send(b"1")
        await rig.receive(rig.backends[0])
        (way,) = rig.listener._ways.values()
        rig.pool.update([])
        way.expire(way.active + oneway.IDLE - 1)
        assert open_files() == before + 1
        way.expire(way.active + oneway.IDLE)
        assert open_files() == before
        assert not rig.listener._ways


async def test_a_refusal_of_a_backend_that_is_gone_counts_nowhere():
    """Its counters may be another backend's by now."""
    async with UdpRig(backends=0, dead=1, settings=ONE_WAY) as rig:
        row, told = rig.backend().row, []
        rig.listener.on_refused = lambda backend, why: told.append(backend)
        rig.client().send(b"refused")
        (receiver,) = rig.listener._entrances.values()
        receiver.ready(1)  # the loop gets no turn before the backend is gone
        rig.pool.update([])
        before = rig.reactor.batches
        await rig.until(lambda: rig.reactor.batches > before)
        assert not told
        assert rig.counters.values[row + REFUSED] == 0


async def test_a_backend_that_moves_is_followed():
    async with UdpRig(settings=ONE_WAY) as rig:
        client = rig.client()
        client.send(b"1")
        assert await rig.receive(rig.backends[0]) == b"1"
        with rig.bound() as elsewhere:
            rig.pool.set_resolved(rig.backend(), rig.family, elsewhere.getsockname())
            client.send(b"2")
            assert await rig.receive(elsewhere) == b"2"
        assert len(rig.listener._ways) == 1
