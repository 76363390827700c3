"""When checks run, in virtual time."""

import asyncio
import logging
from itertools import pairwise

import pytest

from balancer import Backend
from gobetween_py.healthcheck.contract import CheckFailedError, Options, Target
from gobetween_py.healthcheck.loop import Loop, Outcome
from gobetween_py.healthcheck.places import Places
from tests.gobetween_py.healthcheck import virtual
from tests.gobetween_py.healthcheck.scripted import Scripted, failed, pool_of, unclear

GRAIN = 0.011
"""Seconds that a start may be late."""


class Bench:
    """A loop over backends of a pool, and what it reported."""

    def __init__(self, backends: int = 1, *, interval: float = 1.0, timeout: float = 0.0, at_once: int = 0) -> None:
        self.check = Scripted(Options())
        self.check.at_once = at_once  # type: ignore[misc]  # of this one only
        self.pool, change = pool_of(backends)
        self.backends = change.added
        self.outcomes: list[tuple[str, Outcome]] = []
        self.addresses = 1
        places = Places(Options(), by_name=False, next_address=self.next_address)
        self.loop = Loop(self.check, places, interval=interval, timeout=timeout, report=self.report)
        self.began = asyncio.get_running_loop().time()

    def report(self, backend: Backend, outcome: Outcome) -> None:
        self.outcomes.append((backend.address, outcome))

    def next_address(self, backend: Backend, sockaddr: object) -> bool:
        self.addresses -= 1
        return self.addresses > 0

    def results(self) -> list[tuple[bool | None, str]]:
        return [(outcome.passed, outcome.result) for _, outcome in self.outcomes]

    def starts(self, backend: Backend) -> list[float]:
        """Seconds after the beginning."""
        return [at - self.began for at in self.check.times(backend.address)]


async def for_seconds(bench: Bench, seconds: float) -> None:
    """Run its loop for so long, with all its backends unless there are some already."""
    for backend in bench.backends:
        bench.loop.add(backend)
    task = asyncio.create_task(bench.loop.run())
    await asyncio.sleep(seconds)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@virtual.test
async def test_the_first_check_is_at_once_and_then_one_each_interval() -> None:
    bench = Bench(interval=10)
    await for_seconds(bench, 45)
    assert bench.starts(bench.backends[0]) == pytest.approx([0, 10, 20, 30, 40], abs=GRAIN)


@virtual.test
async def test_starts_are_spread_over_the_interval() -> None:
    """Of 100 backends at 10 s, 10 start in each second."""
    bench = Bench(100, interval=10)
    await for_seconds(bench, 30)
    for backend in bench.backends:
        first, *others = bench.starts(backend)
        assert first == pytest.approx(0, abs=0.2)
        assert [b - a for a, b in pairwise(others)] == pytest.approx([10] * (len(others) - 1), abs=GRAIN)
    seconds = [int(at - bench.began) for at, _ in bench.check.starts]
    assert all(8 <= seconds.count(second) <= 12 for second in range(10, 30))


@virtual.test
async def test_a_check_never_overlaps_itself_and_keeps_to_its_times() -> None:
    """One that takes two and a half intervals leaves out two starts. `Scripted` asserts that no two run at once."""
    bench = Bench(interval=2)
    bench.check.takes = 5
    await for_seconds(bench, 19)
    assert bench.starts(bench.backends[0]) == pytest.approx([0, 6, 12, 18], abs=GRAIN)


@virtual.test
async def test_one_that_takes_too_long_is_a_failure() -> None:
    bench = Bench(interval=10, timeout=1.5)
    bench.check.takes = 60
    await for_seconds(bench, 15)
    assert bench.results() == [(False, "no answer within 1.5s")] * 2
    assert bench.outcomes[0][1].duration == pytest.approx(1.5, abs=GRAIN)
    assert not bench.check.running


@virtual.test
async def test_without_a_timeout_it_is_a_minute() -> None:
    """So that a check that hangs for good is not the last one of its backend."""
    bench = Bench(interval=1)
    bench.check.takes = 1000
    await for_seconds(bench, 130)
    assert bench.results() == [(False, "no answer within 1m")] * 2


@virtual.test
async def test_what_is_seen_is_reported() -> None:
    bench = Bench(3, interval=100)
    bench.check.answers = {"10.0.0.1:2": failed, "10.0.0.1:3": unclear}
    await for_seconds(bench, 1)
    assert bench.results() == [(True, "well"), (False, "no answer"), (None, "nobody knows")]


@virtual.test
async def test_a_defect_is_a_failure_with_its_trace_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    bench = Bench()

    def broken() -> str:
        raise ZeroDivisionError("division by zero")

    bench.check.answers["10.0.0.1:1"] = broken
    await for_seconds(bench, 0.5)
    assert bench.results() == [(False, "ZeroDivisionError: division by zero")]
    [record] = caplog.records
    assert record.levelno == logging.ERROR
    assert record.exc_info


@virtual.test
async def test_another_address_of_the_backend_is_tried_before_a_failure_counts() -> None:
    bench = Bench(interval=100)
    bench.addresses = 3
    bench.check.answers["10.0.0.1:1"] = failed
    await for_seconds(bench, 1)
    assert len(bench.check.starts) == 3
    assert bench.results() == [(False, "no answer")]


@virtual.test
async def test_after_a_timeout_the_next_check_is_of_another_address() -> None:
    bench = Bench(interval=10, timeout=1)
    bench.addresses, bench.check.takes = 3, 5
    await for_seconds(bench, 5)
    assert bench.addresses == 2


@virtual.test
async def test_another_address_is_tried_too_when_one_cannot_tell() -> None:
    bench = Bench(interval=100)
    bench.addresses = 3
    bench.check.answers["10.0.0.1:1"] = unclear
    await for_seconds(bench, 1)
    assert len(bench.check.starts) == 3
    assert bench.results() == [(None, "nobody knows")]


@virtual.test
async def test_an_answer_that_this_process_was_too_busy_to_read_is_not_late() -> None:
    """The answer comes after 1 s of the 1.1 that it has, while something else takes half a second."""
    bench = Bench(interval=10, timeout=1.1)
    bench.check.takes = 1
    asyncio.get_running_loop().call_later(0.9, virtual.be_busy, 0.5)
    await for_seconds(bench, 5)
    assert bench.results() == [(True, "well")]


@virtual.test
async def test_one_that_is_removed_is_cancelled_and_not_reported() -> None:
    bench = Bench(2, interval=10)
    bench.check.takes = 5
    staying, going = bench.backends
    task = asyncio.create_task(for_seconds(bench, 100))
    await asyncio.sleep(22)
    assert going.address in bench.check.running or bench.check.times(going.address)
    seen = len(bench.check.times(going.address))
    bench.loop.remove(going)
    bench.loop.remove(going)
    await asyncio.sleep(0.1)
    assert going.address not in bench.check.running
    await task
    assert len(bench.check.times(going.address)) == seen
    assert len(bench.check.times(staying.address)) >= 9


@virtual.test
async def test_one_that_is_removed_as_its_time_ends_is_not_reported() -> None:
    bench = Bench(interval=10, timeout=1)
    bench.check.takes = 60
    [backend] = bench.backends
    task = asyncio.create_task(for_seconds(bench, 5))
    await asyncio.sleep(0.1)
    bench.loop._entries[backend].expire()
    bench.loop.remove(backend)
    await task
    assert bench.outcomes == []


@virtual.test
async def test_places_of_removed_ones_are_free_again() -> None:
    """However early they are removed."""
    bench = Bench(6, interval=1, at_once=2)
    bench.check.takes = 0.1
    task = asyncio.create_task(for_seconds(bench, 30))
    for backend in bench.backends[:5]:
        await asyncio.sleep(0)
        bench.loop.remove(backend)
    await task
    assert len(bench.check.times(bench.backends[5].address)) >= 28


@virtual.test
async def test_one_that_comes_later_is_checked_at_once() -> None:
    bench = Bench(2, interval=10)
    first, later = bench.backends
    bench.backends = (first,)
    task = asyncio.create_task(for_seconds(bench, 30))
    await asyncio.sleep(13)
    bench.loop.add(later)
    bench.loop.add(later)
    await task
    starts = bench.starts(later)
    assert starts[0] == pytest.approx(13, abs=GRAIN)
    assert 2 <= len(starts) <= 3


@virtual.test
async def test_only_so_many_run_at_once_where_the_kind_says_so() -> None:
    """The others wait for their turn, and all get it."""
    bench = Bench(20, interval=100, at_once=4)
    bench.check.takes = 3
    await for_seconds(bench, 16)
    assert bench.check.most == 4
    assert len(bench.outcomes) == 20


@virtual.test
async def test_the_end_cancels_what_is_running() -> None:
    bench = Bench(5)
    bench.check.takes = 50
    await for_seconds(bench, 1)
    assert not bench.check.running
    assert not bench.outcomes


@virtual.test
async def test_an_outcome_says_when_and_how_long() -> None:
    bench = Bench(interval=10)
    bench.check.takes = 2
    await for_seconds(bench, 5)
    [(_, outcome)] = bench.outcomes
    assert outcome.duration == pytest.approx(2, abs=GRAIN)
    assert outcome.started > 1.7e9


@virtual.test
async def test_the_relays_get_their_turn_between_starts() -> None:
    """Of a thousand first checks, too."""
    bench = Bench(1000, interval=10)
    counts: list[int] = []

    async def watch() -> None:
        while len(bench.check.starts) < 1000:
            await asyncio.sleep(0)
            counts.append(len(bench.check.starts))

    watching = asyncio.create_task(watch())
    await for_seconds(bench, 1)
    await watching
    assert max(b - a for a, b in pairwise([0, *counts])) == 1


class Twice(Scripted):
    """Fails at its first address only."""

    async def check(self, target: Target) -> str:
        await super().check(target)
        if len(self.starts) == 1:
            raise CheckFailedError("the first address")
        return "the second"


@virtual.test
async def test_an_address_that_answers_is_enough() -> None:
    bench = Bench(interval=100)
    bench.addresses = 2
    bench.loop._check = Twice(Options())
    await for_seconds(bench, 1)
    assert bench.results() == [(True, "the second")]
