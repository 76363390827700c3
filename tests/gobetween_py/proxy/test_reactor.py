import asyncio
import socket

import pytest

from gobetween_py.proxy.reactor import Reactor
from tests.gobetween_py.proxy.rig import Rig


async def test_an_event_for_a_closed_fd_reaches_nobody():
    """Both sockets have an event in one batch; handling the first closes the second, and its number is used again."""
    reactor = Reactor(asyncio.get_running_loop())
    pairs = [socket.socketpair() for _ in range(2)]
    calls: list[str] = []
    later: list[socket.socket] = []

    def take_over() -> None:
        fresh = socket.socket()
        later.append(fresh)
        reactor.add(fresh.fileno(), lambda events: calls.append("fresh"))

    def close_the_other(mine: int) -> None:
        other = pairs[1 - mine][0]
        calls.append("first")
        reactor.handlers.pop(other.fileno())
        other.close()
        reactor.ready.append(take_over)

    for number, (near, _) in enumerate(pairs):
        near.setblocking(False)
        reactor.add(near.fileno(), lambda events, number=number: close_the_other(number))
    reactor.turn()
    assert calls[0] == "first"
    assert calls.count("first") == 1
    for sock in [s for pair in pairs for s in pair] + later:
        sock.close()
    reactor.close()


async def test_a_defect_costs_its_own_connection_only(caplog: pytest.LogCaptureFixture):
    async with Rig() as rig:
        broken, broken_end = await rig.pair()
        sound, sound_end = await rig.pair()
        await rig.until(lambda: len(rig.listener.connections) == 2 and all(c.up for c in rig.listener.connections))
        victim = next(c for c in rig.listener.connections if c.client.getpeername() == broken.getsockname())
        victim.up.sink = None  # the next message raises AttributeError
        await rig.send(broken, b"x")
        assert await rig.receive(broken) == b""
        assert "defect in Half.ready" in caplog.text
        await rig.send(sound, b"still there")
        assert await rig.receive(sound_end) == b"still there"
        for sock in (broken, broken_end, sound, sound_end):
            sock.close()


async def test_ready_work_leaves_the_event_loop_its_turn():
    """Work that puts itself on again for ever does not keep timers from running."""
    reactor = Reactor(asyncio.get_running_loop())
    runs = 0

    def again() -> None:
        nonlocal runs
        runs += 1
        reactor.ready.append(again)

    reactor.ready.append(again)
    reactor.turn()
    await asyncio.sleep(0.01)
    assert runs > 100
    reactor.ready.clear()
    await asyncio.sleep(0)
    reactor.ready.append(lambda: None)
    reactor.close()
