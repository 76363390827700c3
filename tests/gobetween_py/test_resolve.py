import asyncio
import socket
from collections.abc import Callable

import pytest

from balancer import BackendSpec, Counters, Pool
from gobetween_py import resolve
from gobetween_py.resolve import Resolver, literal


def test_addresses_and_sockets_need_no_look_up():
    assert literal("192.0.2.1", 80) == (socket.AF_INET, ("192.0.2.1", 80))
    assert literal("2001:db8::1", 80) == (socket.AF_INET6, ("2001:db8::1", 80, 0, 0))
    assert literal("fe80::1%lo", 80) == (socket.AF_INET6, ("fe80::1", 80, 0, socket.if_nametoindex("lo")))
    assert literal("fe80::1%nosuch", 80) is None
    assert literal("unix:/run/app", 0) == (socket.AF_UNIX, "/run/app")
    for name in ("localhost", "1.2.3", "010.1.1.1", "1.2.3.4%lo", "::g", "a\0b"):
        assert literal(name, 80) is None


class Resolved:
    """A pool with one backend, and its resolver running."""

    def __init__(self, host: str) -> None:
        self.pool = Pool("weight", Counters())
        self.resolver = Resolver("test", self.pool)
        (self.backend,) = self.pool.update([BackendSpec(host, 80)]).added

    async def __aenter__(self) -> "Resolved":
        self.task = asyncio.create_task(self.resolver.run())
        self.resolver.take([self.backend])
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not holds():
                await asyncio.sleep(0.01)


async def test_a_name_is_resolved_and_picked_from_then_on():
    async with Resolved("localhost") as it:
        await it.until(lambda: it.backend.sockaddr is not None)
        assert it.backend.sockaddr[0] in ("127.0.0.1", "::1")
        assert it.pool.acquire("192.0.2.9") is it.backend


async def test_a_name_that_cannot_be_resolved_is_told_once_and_not_picked(caplog: pytest.LogCaptureFixture):
    async with Resolved("nowhere.invalid") as it:
        await it.until(lambda: "cannot resolve nowhere.invalid" in caplog.text)
        assert it.pool.acquire("192.0.2.9") is None


async def test_addresses_follow_the_name_and_survive_a_failing_look_up(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    """The system's resolver is replaced: it cannot be made to change its answers here."""
    answers: list[str | None] = ["192.0.2.1"]

    async def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        if answers[-1] is None:
            raise socket.gaierror("no answer")
        return [(socket.AF_INET, 1, 6, "", (answers[-1], 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(resolve, "REFRESH", 0.02)
    async with Resolved("app.example") as it:
        await it.until(lambda: it.backend.sockaddr == ("192.0.2.1", 80))
        answers.append(None)
        await it.until(lambda: "its last addresses are kept" in caplog.text)
        assert it.backend.sockaddr == ("192.0.2.1", 80)
        answers.append("192.0.2.2")
        await it.until(lambda: it.backend.sockaddr == ("192.0.2.2", 80))


async def test_the_next_address_of_a_name_comes_when_one_does_not_answer(monkeypatch: pytest.MonkeyPatch):
    async def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        return [(socket.AF_INET6, 1, 6, "", ("::1", 0, 0, 0)), (socket.AF_INET, 1, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with Resolved("app.example") as it:
        first, second = ("::1", 80, 0, 0), ("127.0.0.1", 80)
        await it.until(lambda: it.backend.sockaddr == first)
        assert it.resolver.next_address(it.backend, first)
        assert (it.backend.family, it.backend.sockaddr) == (socket.AF_INET, second)
        assert it.resolver.next_address(it.backend, first)  # another connection, late: not moved on twice
        assert it.backend.sockaddr == second
        assert not it.resolver.next_address(it.backend, second)  # all were tried
        assert it.backend.sockaddr == first


async def test_many_names_are_looked_up_a_few_at_a_time_and_told_together(monkeypatch: pytest.MonkeyPatch):
    """So that the pool is prepared anew once, and not for each of them."""
    under_way, most, turns = 0, 0, []

    async def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(resolve, "TOGETHER", 3600)
    pool = Pool("weight", Counters())
    resolver = Resolver("test", pool)
    monkeypatch.setattr(pool, "set_resolved", lambda backend, *_: turns.append(under_way))
    resolver.take(pool.update([BackendSpec(f"host{n}", 80) for n in range(100)]).added)
    task = asyncio.create_task(resolver.run())
    await resolver.settled.wait()
    task.cancel()
    assert (most, turns) == (resolve.AT_ONCE, [0] * 100)


async def test_a_name_that_takes_long_does_not_hold_up_the_others(monkeypatch: pytest.MonkeyPatch):
    async def getaddrinfo(host: str, port: object, **_: object) -> list[object]:
        if host == "slow":
            await asyncio.Event().wait()
        return [(socket.AF_INET, 1, 6, "", ("192.0.2.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
    async with Resolved("slow") as it:
        (quick,) = it.pool.update([BackendSpec("slow", 80), BackendSpec("quick", 80)]).added
        await it.until(lambda: quick.sockaddr is not None)
        assert it.backend.sockaddr is None
