import asyncio
import socket
from pathlib import Path

import pytest

from balancer import ACTIVE, RX, TOTAL, TX, BackendSpec
from gobetween_py.proxy.flow import Flow
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.udp.session import Session
from tests.gobetween_py.proxy.udp.rig import UdpRig


def settings(**keys: int) -> Settings:
    return Settings(client_idle_timeout=60, datagrams=Datagrams(**keys))


def sessions(rig: UdpRig) -> list[Session]:
    found = sorted(rig.listener.connections, key=lambda flow: flow.begun)
    assert all(isinstance(flow, Session) for flow in found)
    return found  # type: ignore[return-value]


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_a_client_keeps_its_backend_and_gets_the_answers(host: str):
    async with UdpRig(backends=2, host=host) as rig:
        first, second = rig.client(), rig.client()
        for number in range(5):
            assert await rig.ask(first, b"%d" % number, backend=0) == b"re: %d" % number
            assert await rig.ask(second, b"%d" % number, backend=1) == b"re: %d" % number
        assert rig.count(TOTAL) == rig.count(ACTIVE) == [1, 1]
        assert rig.count(TX) == [5, 5]
        assert rig.count(RX) == [25, 25]


@pytest.mark.parametrize(
    ("host", "size"), [*(("127.0.0.1", size) for size in (0, 1, 512, 1472, 9000, 65_507)), ("::1", 0), ("::1", 65_507)]
)
async def test_datagrams_of_every_size_arrive_whole(host: str, size: int):
    async with UdpRig(host=host) as rig:
        client, data = rig.client(), bytes(number % 251 for number in range(size))
        client.send(data)
        client.send(b"the next one")
        got, peer = await rig.take(rig.backends[0])
        assert got == data
        assert await rig.receive(rig.backends[0]) == b"the next one"
        rig.backends[0].sendto(data, peer)
        rig.backends[0].sendto(b"the next answer", peer)
        assert await rig.receive(client) == data
        assert await rig.receive(client) == b"the next answer"


@pytest.mark.parametrize(("host", "backend"), [("127.0.0.1", "::1"), ("::1", "127.0.0.1")])
async def test_client_and_backend_may_be_of_different_families(host: str, backend: str):
    family = socket.AF_INET6 if ":" in backend else socket.AF_INET
    async with UdpRig(backends=0, host=host) as rig:
        with rig.bound(family) as server:
            rig.pool.update([BackendSpec(backend, server.getsockname()[1])])
            rig.pool.set_resolved(rig.pool.backends[0], family, server.getsockname())
            rig.backends.append(server)
            assert await rig.ask(rig.client(), b"question") == b"re: question"


async def test_what_is_too_long_for_the_backend_is_lost_and_told(caplog: pytest.LogCaptureFixture):
    """IPv6 takes 20 bytes more than IPv4, whose header counts."""
    async with UdpRig(backends=0, host="::1") as rig:
        with rig.bound() as server:
            rig.pool.update([BackendSpec("127.0.0.1", server.getsockname()[1])])
            rig.pool.set_resolved(rig.pool.backends[0], socket.AF_INET, server.getsockname())
            rig.backends.append(server)
            client = rig.client()
            client.send(bytes(65_508))
            await rig.until(lambda: rig.listener.dropped == 1)
            assert "datagram lost: Message too long" in caplog.text
            assert await rig.ask(client, b"shorter") == b"re: shorter"


async def test_more_answers_than_questions_arrive_and_in_order():
    """Some before the balancer gets to look, some while it does not expect any."""
    async with UdpRig() as rig:
        client = rig.client()
        await rig.ask(client, b"question")
        peer = ("127.0.0.1", sessions(rig)[0].upstream.getsockname()[1])
        for burst in (1, 2, 100, 1):
            for number in range(burst):
                rig.backends[0].sendto(b"%d" % number, peer)
            assert [await rig.receive(client) for _ in range(burst)] == [b"%d" % number for number in range(burst)]


async def test_bursts_of_many_clients_arrive_whole_and_in_order():
    async with UdpRig() as rig:
        clients = [rig.client() for _ in range(50)]
        for number in range(20):
            for client in clients:
                client.send(b"%d" % number)
        numbers: dict[object, list[int]] = {}
        for _ in range(20 * len(clients)):
            data, peer = await rig.take(rig.backends[0])
            numbers.setdefault(peer, []).append(int(data))
        assert list(numbers.values()) == [list(range(20))] * len(clients)


async def test_silence_ends_a_session_and_its_client_begins_another():
    async with UdpRig(settings=Settings(client_idle_timeout=0.3)) as rig:
        ends: list[Reason] = []
        rig.listener.on_end = (lambda flow, reason: ends.append(reason),)
        client = rig.client()
        await rig.ask(client, b"first")
        await rig.until(lambda: not rig.listener.connections)
        assert ends == [Reason.CLIENT_IDLE]
        assert await rig.ask(client, b"second") == b"re: second"
        assert rig.count(TOTAL) == [2]


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_a_session_lasts_as_long_as_either_side_sends(who: str):
    async with UdpRig(settings=Settings(backend_idle_timeout=0.5)) as rig:
        client = rig.client()
        await rig.ask(client, b"first")
        (session,) = sessions(rig)
        peer = ("127.0.0.1", session.upstream.getsockname()[1])
        for _ in range(8):
            await asyncio.sleep(0.15)
            if who == "client":
                client.send(b"go on")
            else:
                rig.backends[0].sendto(b"go on", peer)
        assert sessions(rig) == [session]


async def test_a_server_without_idle_timeouts_ends_its_sessions_all_the_same():
    """Otherwise a client whose answer got lost would be remembered for ever."""
    async with UdpRig(settings=Settings(datagrams=Datagrams(max_responses=1))) as rig:
        rig.client().send(b"question")
        await rig.receive(rig.backends[0])
        (session,) = sessions(rig)
        session.expire(session.active + rig.listener.idle_ticks - 1)
        assert not session.closed
        session.slot = None
        session.expire(session.active + rig.listener.idle_ticks)
        assert session.closed


async def test_after_max_requests_the_next_datagram_begins_another_session():
    """The one before still brings its answers."""
    async with UdpRig(backends=2, settings=settings(max_requests=2)) as rig:
        client = rig.client()
        for data in (b"1", b"2", b"3"):
            client.send(data)
        peers = [await rig.take(rig.backends[number]) for number in (0, 0, 1)]
        assert [data for data, _ in peers] == [b"1", b"2", b"3"]
        for number in (1, 0):
            rig.backends[number].sendto(b"answer of %d" % number, peers[0 if number == 0 else 2][1])
            assert await rig.receive(client) == b"answer of %d" % number
        assert len(rig.listener.connections) == 2


async def test_max_responses_ends_a_session():
    async with UdpRig(backends=2, settings=settings(max_responses=2)) as rig:
        ends: list[tuple[Flow, Reason]] = []
        rig.listener.on_end = (lambda flow, reason: ends.append((flow, reason)),)
        client = rig.client()
        assert await rig.ask(client, b"one", backend=0) == b"re: one"
        assert await rig.ask(client, b"three", backend=0) == b"re: three"
        ((flow, reason),) = ends
        assert reason is Reason.BACKEND
        assert (flow.host, flow.port) == client.getsockname()
        assert (flow.sent, flow.received, flow.attempts) == (8, 16, 1)
        assert 0 < flow.begun <= flow.answered
        assert await rig.ask(client, b"next", backend=1) == b"re: next"


async def test_a_single_request_with_answers_is_a_session_of_its_own():
    """max_requests = 1 is fire-and-forget only where no answer is asked for."""
    async with UdpRig(backends=2, settings=settings(max_requests=1, max_responses=1)) as rig:
        client = rig.client()
        for number in (0, 1, 0, 1):
            assert await rig.ask(client, b"question", backend=number) == b"re: question"
        assert not rig.listener.connections


async def test_a_stale_event_does_no_harm():
    """Sessions are made within a batch of events, which may hold some of an fd that was closed in it."""
    async with UdpRig() as rig:
        client = rig.client()
        await rig.ask(client, b"first")
        sessions(rig)[0].ready(0xFFFF)
        assert await rig.ask(client, b"second") == b"re: second"


async def test_a_backend_may_be_a_unix_datagram_socket(tmp_path: Path):
    path = str(tmp_path / "log")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as backend:
        backend.setblocking(False)
        backend.bind(path)
        async with UdpRig(backends=0) as rig:
            rig.pool.update([BackendSpec(f"unix:{path}", 0)])
            rig.pool.set_resolved(rig.pool.backends[0], socket.AF_UNIX, path)
            client = rig.client()
            client.send(b"question")
            data, peer = await rig.take(backend)
            backend.sendto(b"re: " + data, peer)
            assert await rig.receive(client) == b"re: question"


async def test_a_defect_ends_its_own_session(caplog: pytest.LogCaptureFixture):
    async with UdpRig(backends=2) as rig:
        good, bad = rig.client(), rig.client()
        await rig.ask(good, b"1", backend=0)
        await rig.ask(bad, b"2", backend=1)
        broken = sessions(rig)[1]
        broken.wheel = None  # type: ignore[assignment]
        rig.backends[1].sendto(b"answer", ("127.0.0.1", broken.upstream.getsockname()[1]))
        await rig.until(lambda: broken.closed)
        assert "defect in Session.ready" in caplog.text
        assert await rig.ask(good, b"3", backend=0) == b"re: 3"
