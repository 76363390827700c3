"""The share of a backend that returns, over time."""

import asyncio

import pytest

from balancer import Backend, BackendSpec, Counters, Pool
from gobetween_py.healthcheck.slow_start import LEAST, SlowStart
from tests.gobetween_py.healthcheck import virtual


def pool(count: int = 1) -> tuple[Pool, tuple[Backend, ...]]:
    made = Pool("weight", Counters())
    made.update(BackendSpec("10.0.0.1", 80 + n) for n in range(count))
    return made, made.backends


def test_it_grows_evenly_from_little_to_all() -> None:
    async def scenario() -> list[float]:
        made, (backend,) = pool()
        SlowStart(made).begin(backend, 30)
        shares = [backend.share]
        for _ in range(6):
            await asyncio.sleep(5)
            shares.append(backend.share)
        await asyncio.sleep(1)
        return [*shares, backend.share]

    expected = [LEAST, 1 / 6, 2 / 6, 3 / 6, 4 / 6, 5 / 6, 1, 1]
    assert virtual.run(scenario()) == pytest.approx(expected, abs=0.05)


def test_each_backend_has_a_time_of_its_own() -> None:
    async def scenario() -> list[float]:
        made, (one, other) = pool(2)
        slow_start = SlowStart(made)
        slow_start.begin(one, 10)
        await asyncio.sleep(5)
        slow_start.begin(other, 10)
        await asyncio.sleep(5.5)
        return [one.share, other.share]

    assert virtual.run(scenario()) == pytest.approx([1, 0.5], abs=0.1)


def test_one_that_goes_down_again_begins_anew() -> None:
    async def scenario() -> list[float]:
        made, (backend,) = pool()
        slow_start = SlowStart(made)
        slow_start.begin(backend, 10)
        await asyncio.sleep(8)
        slow_start.end(backend)
        shares = [backend.share]
        slow_start.begin(backend, 10)
        await asyncio.sleep(5)
        return [*shares, backend.share]

    assert virtual.run(scenario()) == pytest.approx([1, 0.5], abs=0.1)


def test_at_the_end_all_shares_are_whole_and_nothing_is_left_to_do() -> None:
    async def scenario() -> float:
        made, (backend,) = pool()
        slow_start = SlowStart(made)
        slow_start.begin(backend, 10)
        slow_start.close()
        await asyncio.sleep(60)
        return backend.share

    assert virtual.run(scenario()) == 1
