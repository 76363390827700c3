import asyncio
import contextlib
import os
import socket
import time
from ipaddress import ip_network

from balancer import REFUSED, TOTAL, BackendSpec
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from tests.gobetween_py.proxy.limits import no_fd_left
from tests.gobetween_py.proxy.rig import Rig


async def closed(rig: Rig, sock: socket.socket) -> bool:
    """Whether the balancer ends the connection without a byte."""
    with contextlib.suppress(ConnectionResetError):
        return await rig.receive(sock) == b""
    return True


async def test_another_backend_is_tried_and_gets_every_byte():
    """Two dead backends come first in turn; the client's bytes reach the live one whole."""
    async with Rig(backends=1, dead=2, settings=Settings(connect_attempts=3)) as rig:
        for _ in range(6):
            client = await rig.connect()
            await rig.send(client, b"sent before any backend answered")
            backend = await rig.accept()
            assert await rig.receive(backend) == b"sent before any backend answered"
            client.close()
            backend.close()
        live, *dead = sorted(rig.pool.backends, key=lambda b: b.port != rig.backends[0].getsockname()[1])
        assert rig.counters.values[live.row + TOTAL] == 6
        assert sum(rig.counters.values[b.row + REFUSED] for b in dead) > 0


async def test_attempts_are_limited():
    async with Rig(backends=0, dead=5, settings=Settings(connect_attempts=2)) as rig:
        client = await rig.connect()
        assert await closed(rig, client)
        client.close()
        assert sum(rig.counters.values[b.row + REFUSED] for b in rig.pool.backends) == 2
        assert rig.listener.refusals[Reason.CONNECT.value] == 1


async def test_without_backends_the_client_is_closed():
    async with Rig(backends=0) as rig:
        client = await rig.connect()
        assert await closed(rig, client)
        client.close()
        assert rig.listener.refusals[Reason.NO_BACKEND.value] == 1


async def test_a_backend_that_does_not_answer_in_time_is_given_up():
    """A full backlog drops the SYN: only the connect timeout ends that."""
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen(0)
        fillers = [socket.socket() for _ in range(8)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(silent.getsockname())
        async with Rig(backends=0, settings=Settings(backend_connection_timeout=0.2)) as rig:
            for backend in rig.pool.update([BackendSpec("127.0.0.1", silent.getsockname()[1])]).added:
                rig.pool.set_resolved(backend, socket.AF_INET, silent.getsockname())
            client = await rig.connect()
            before = time.monotonic()
            assert await closed(rig, client)
            assert time.monotonic() - before >= 0.2
            client.close()
            assert rig.listener.refusals[Reason.CONNECT.value] == 1
        for filler in fillers:
            filler.close()


async def test_another_address_of_the_same_backend_is_tried():
    """A name with several addresses: the next one is taken, and nothing counts as refused."""
    async with Rig(backends=1) as rig:
        backend = rig.pool.backends[0]
        good = (socket.AF_INET, backend.sockaddr)

        def next_address(asked: object, sockaddr: object) -> bool:
            assert (asked, sockaddr) == (backend, ("::1", backend.port, 0, 0))
            rig.pool.set_resolved(backend, *good)
            return True

        rig.listener.next_address = next_address
        rig.pool.set_resolved(backend, socket.AF_INET6, ("::1", backend.port, 0, 0))
        client, end = await rig.pair()
        await rig.send(end, b"here")
        assert await rig.receive(client) == b"here"
        assert rig.counters.values[backend.row + REFUSED] == 0
        client.close()
        end.close()


async def test_silence_ends_a_connection_and_activity_does_not():
    async with Rig(settings=Settings(client_idle_timeout=0.6)) as rig:
        client, backend = await rig.pair()
        begun = time.monotonic()
        for _ in range(6):
            await rig.send(backend, b"tick")
            assert await rig.receive(client) == b"tick"
            await asyncio.sleep(0.2)
        assert time.monotonic() - begun > 1.0
        silent_since = time.monotonic() - 0.2
        assert await closed(rig, client)
        assert 0.6 <= time.monotonic() - silent_since < 3
        assert await closed(rig, backend)
        client.close()
        backend.close()


async def test_the_shorter_idle_timeout_is_named():
    async with Rig(settings=Settings(client_idle_timeout=5, backend_idle_timeout=1)) as rig:
        assert rig.listener.idle_reason is Reason.BACKEND_IDLE
        rig.listener.configure(Settings(client_idle_timeout=5))
        assert rig.listener.idle_reason is Reason.CLIENT_IDLE


async def test_no_more_than_max_connections_are_open():
    async with Rig(settings=Settings(max_connections=2)) as rig:
        pairs = [await rig.pair() for _ in range(2)]
        refused = await rig.connect()
        assert await closed(rig, refused)
        refused.close()
        assert rig.listener.refusals["limit"] == 1
        for sock in pairs.pop():
            sock.close()
        await rig.until(lambda: len(rig.listener.connections) == 1)
        client, backend = await rig.pair()
        for sock in (client, backend, *pairs.pop()):
            sock.close()


async def test_a_denied_client_is_closed_without_a_backend_being_asked():
    async with Rig(access=Access([(False, ip_network("127.0.0.0/8"))])) as rig:
        client = await rig.connect()
        assert await closed(rig, client)
        client.close()
        assert rig.listener.refusals["access"] == 1
        assert rig.counters.values[rig.pool.backends[0].row + TOTAL] == 0


async def test_accepting_goes_on_after_fds_ran_out():
    """Out of fds the listener pauses; what waits in the backlog is served once there are fds again."""
    async with Rig() as rig:
        client = await rig.connect()
        first = await rig.accept()
        waiting = socket.socket()
        waiting.setblocking(False)
        with no_fd_left():
            await rig.loop.sock_connect(waiting, rig.address)
            await rig.until(lambda: next(iter(rig.listener._entrances.values()))._paused)
            await rig.send(client, b"open connections go on")
            assert await rig.receive(first) == b"open connections go on"
        second = await rig.accept()
        await rig.send(waiting, b"served")
        assert await rig.receive(second) == b"served"
        for sock in (client, first, waiting, second):
            sock.close()


async def test_a_client_for_whose_backend_no_fd_is_left_is_turned_away_and_counted():
    async with Rig() as rig:
        client, late = socket.socket(), socket.socket()
        for sock in (client, late):
            sock.setblocking(False)
        with no_fd_left() as fds:
            os.close(fds.pop())  # it is the client's
            await rig.loop.sock_connect(client, rig.address)
            assert await closed(rig, client)
            assert rig.listener.refusals[Reason.RESOURCES.value] == 1
        await rig.loop.sock_connect(late, rig.address)
        backend = await rig.accept()
        await rig.send(late, b"served")
        assert await rig.receive(backend) == b"served"
        for sock in (client, late, backend):
            sock.close()


async def test_shutdown_closes_what_is_open():
    async with Rig() as rig:
        client, backend = await rig.pair()
        assert rig.listener.close_connections() == 1
        assert await closed(rig, client)
        assert await closed(rig, backend)
        client.close()
        backend.close()
