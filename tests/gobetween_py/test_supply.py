import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from balancer import Backend, BackendSpec, Counters
from gobetween_py import supply as module
from gobetween_py.config import Server, load
from gobetween_py.config.override import Override
from gobetween_py.supply import Supply

ONE, TWO, THREE = (BackendSpec(f"127.0.0.{number}", 80) for number in (1, 2, 3))


def config(*backends: str, extra: str = "", discovery: str = "") -> Server:
    found = discovery or f'kind = "static"\nstatic_list = {[*backends]}'
    return load(f'[servers.web]\nbind = ":1"\n{extra}\n[servers.web.discovery]\n{found}\n').servers["web"]


async def keep_connections(backends: set[Backend]) -> None:
    """Nothing has to be closed."""


@asynccontextmanager
async def filling(of: Server) -> AsyncIterator[Supply]:
    supply = Supply("web", of, Counters(), keep_connections)
    try:
        await supply.begin()
        yield supply
    finally:
        await supply.end()


def listed(supply: Supply) -> list[str]:
    return sorted(backend.host for backend in supply.pool.backends if backend.discovered)


async def test_it_begins_with_what_discovery_finds_and_ends_with_nothing():
    async with filling(config("127.0.0.1:80", "127.0.0.2:80")) as supply:
        assert listed(supply) == ["127.0.0.1", "127.0.0.2"]
        backend = supply.pool.acquire("")
        assert backend is not None
        supply.pool.release(backend)
    assert listed(supply) == []
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_first_answer_that_does_not_come_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FIRST_ANSWER", 0.2)
    begun = time.monotonic()
    async with filling(config(discovery='kind = "exec"\nexec_command = ["sleep", "60"]\ntimeout = "1m"')) as supply:
        assert time.monotonic() - begun >= 0.2
        assert listed(supply) == []
        await supply.apply([ONE])
        assert listed(supply) == ["127.0.0.1"]


async def test_another_discovery_keeps_the_backends_that_it_finds_too():
    before, after = (
        config("127.0.0.1:80", "127.0.0.2:80"),
        config("127.0.0.2:80", "127.0.0.3:80", extra='balance = "p2c"'),
    )
    async with filling(before) as supply:
        known = supply.pool.find("127.0.0.2", 80)
        await supply.change(before, after, discovery=supply.discovery_of(after))
        assert listed(supply) == ["127.0.0.2", "127.0.0.3"]
        assert supply.pool.find("127.0.0.2", 80) is known


async def test_what_is_set_by_hand_is_laid_over_every_answer():
    async with filling(config("127.0.0.1:80")) as supply:
        supply.overlay.set(Override(address="127.0.0.3:80", manual=True))
        await supply.refresh()
        assert listed(supply) == ["127.0.0.1", "127.0.0.3"]
        await supply.apply([TWO])
        assert listed(supply) == ["127.0.0.2", "127.0.0.3"]


async def test_answers_at_once_are_taken_one_after_the_other():
    async with filling(config()) as supply:
        told: list[list[str]] = []
        supply.on_listed = lambda: told.append(listed(supply))
        await asyncio.gather(supply.apply([ONE]), supply.apply([ONE, TWO]), supply.apply([THREE]))
        assert listed(supply) == ["127.0.0.3"]
        assert told[-1] == ["127.0.0.3"]


async def test_at_rest_the_pool_stays_as_it_is_and_is_picked_from():
    async with filling(config("127.0.0.1:80")) as supply:
        await supply.rest()
        backend = supply.pool.acquire("")
        assert backend is not None
        assert backend.host == "127.0.0.1"
        supply.pool.release(backend)


async def test_health_checks_that_change_keep_who_was_down_down():
    """Until the new ones have judged; nothing listens at port 1."""
    found = 'kind = "static"\nstatic_list = ["127.0.0.1:80"]\n[servers.web.healthcheck]\nkind = "ping"\nport = 1\n'
    before, after = (config(discovery=f'{found}timeout = "50ms"\ninterval = "{often}"') for often in ("100ms", "10s"))
    async with filling(before) as supply:
        (backend,) = supply.pool.backends
        async with asyncio.timeout(10):
            while backend.live:
                await asyncio.sleep(0.01)
        await supply.change(before, after, health=supply.health_of(after))
        assert supply.pool.acquire("") is None
