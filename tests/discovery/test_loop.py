"""The loop, with discoveries that do what the test says, at a pace of milliseconds."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import ClassVar

import pytest

from balancer.backend import BackendSpec
from discovery.backoff import Pace
from discovery.contract import MAX_BACKENDS, Answer, Discovery, DiscoveryError, Options
from discovery.loop import Loop

A, B, C = (BackendSpec(name, 80) for name in "abc")
FAST = Pace(first=0.001, cap=0.004, gap=0.0)
Step = Sequence[BackendSpec] | Exception | Callable[[], object]


class Scripted(Discovery):
    """Fetches one step after the other and stays at the last: an answer, an exception, or something to await first."""

    Options = Options
    default_timeout: ClassVar[float] = 5.0

    def __init__(self, *steps: Step) -> None:
        super().__init__(Options(kind="scripted"))
        self.steps = list(steps)
        self.fetched = 0
        self.closed = False

    async def fetch(self) -> Answer:
        self.fetched += 1
        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        if callable(step):
            step = await step()  # type: ignore[misc]
        if isinstance(step, Exception):
            raise step
        return step

    async def close(self) -> None:
        self.closed = True


class Pushing(Scripted):
    """Pushes what the test puts into the queue; an exception breaks the channel, "end" ends it."""

    def __init__(self, *steps: Step) -> None:
        super().__init__(*steps)
        self.pushes: asyncio.Queue[Answer | Exception | str | None] = asyncio.Queue()
        self.opened = self.ended = 0

    async def watch(self) -> AsyncIterator[Answer | None]:
        self.opened += 1
        try:
            while (push := await self.pushes.get()) != "end":
                if isinstance(push, Exception):
                    raise push
                yield push
        finally:
            self.ended += 1


class Running:
    """A loop in the background, and what it applied."""

    def __init__(self, discovery: Discovery, pace: Pace = FAST, **options: str) -> None:
        self.applied: list[list[BackendSpec]] = []
        self.applying = False
        self.go_on = asyncio.Event()
        self.go_on.set()
        validated = Options.model_validate({"kind": "scripted", **options})
        self.loop = Loop(discovery, validated, self._apply, name="web", pace=pace)
        self.status = self.loop.status

    async def _apply(self, specs: Answer) -> None:
        assert not self.applying, "one at a time"
        self.applying = True
        await self.go_on.wait()
        self.applied.append(list(specs))
        self.applying = False

    async def until(self, reached: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not reached():
                await asyncio.sleep(0.0005)

    async def __aenter__(self) -> "Running":
        self.task = asyncio.create_task(self.loop.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self.task


@pytest.fixture(autouse=True)
def _log(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "discovery")


async def test_interval_0_fetches_once() -> None:
    discovery = Scripted([A])
    async with Running(discovery) as running:
        await running.until(lambda: running.applied == [[A]])
        await asyncio.sleep(0.02)
        assert discovery.fetched == 1
    assert discovery.closed


async def test_fetches_again_after_each_interval() -> None:
    async with Running(Scripted([A], [A, B], [B]), interval="2ms") as running:
        await running.until(lambda: running.applied[-1:] == [[B]])
    assert running.applied[:3] == [[A], [A, B], [B]]


async def test_keeplast_keeps_the_backends_and_retries_until_it_answers() -> None:
    """Also with interval 0, where a single failure would otherwise be the last word."""
    async with Running(Scripted(*[DiscoveryError("gone")] * 3, [A])) as running:
        await running.until(lambda: running.applied == [[A]])
        assert (running.status.fetches, running.status.failures) == (4, 3)
        assert running.status.last_error == "gone"
        assert not running.status.failing


async def test_keeplast_applies_nothing_on_failure() -> None:
    async with Running(Scripted([A], DiscoveryError("gone")), interval="1ms") as running:
        await running.until(lambda: running.status.failures > 2)
        assert running.applied == [[A]]
        assert running.status.backends == 1


async def test_setempty_empties_once_and_takes_the_backends_back() -> None:
    steps = [A], DiscoveryError("gone"), DiscoveryError("gone"), [A, B]
    async with Running(Scripted(*steps), interval="1ms", failpolicy="setempty") as running:
        await running.until(lambda: running.applied[-1:] == [[A, B]])
    assert running.applied[:3] == [[A], [], [A, B]]


async def test_setempty_empties_a_pool_that_an_earlier_loop_had_filled() -> None:
    """After a reload the pool has backends although this loop never applied any."""
    async with Running(Scripted(DiscoveryError("gone")), failpolicy="setempty") as running:
        await running.until(lambda: running.status.failures > 1)
        assert running.applied == [[]]


async def test_a_fetch_that_takes_too_long_is_cancelled_and_counts_as_failure() -> None:
    cancelled = asyncio.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    async with Running(Scripted(hang, [A]), timeout="5ms") as running:
        await running.until(lambda: running.applied == [[A]])
    assert cancelled.is_set()
    assert running.status.last_error == "no answer within 5ms"


async def test_timeout_0_waits_as_long_as_it_takes() -> None:
    class Impatient(Scripted):
        default_timeout = 0.001

    async def slow() -> list[BackendSpec]:
        await asyncio.sleep(0.03)
        return [A]

    async with Running(Impatient(slow), timeout="0") as running:
        await running.until(lambda: running.applied == [[A]])
        assert running.status.failures == 0


async def test_without_a_timeout_the_kind_has_its_own() -> None:
    class Impatient(Scripted):
        default_timeout = 0.002

    async with Running(Impatient(lambda: asyncio.sleep(60), [A])) as running:
        await running.until(lambda: running.applied == [[A]])
    assert running.status.last_error == "no answer within 2ms"


async def test_failures_are_logged_once_per_change_of_state(caplog: pytest.LogCaptureFixture) -> None:
    steps = [A], *[DiscoveryError("refused by x:1")] * 5, [A], [A], *[DiscoveryError("gone")] * 5, [A, B]
    async with Running(Scripted(*steps), interval="1ms") as running:
        await running.until(lambda: running.applied[-1:] == [[A, B]])
    assert caplog.messages == [
        "web: scripted discovery: 1 backends",
        "web: scripted discovery failed: refused by x:1; the last 1 backends are kept",
        "web: scripted discovery: answers again: 1 backends",
        "web: scripted discovery failed: gone; the last 1 backends are kept",
        "web: scripted discovery: answers again: 2 backends",
    ]


async def test_a_first_fetch_that_fails_is_an_error_not_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Regression against gobetween: keeplast with nothing to keep left the server dead without a word."""
    async with Running(Scripted(DiscoveryError("refused"))) as running:
        await running.until(lambda: running.status.failures > 2)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("ERROR", "web: scripted discovery failed: refused; no backends were ever found, none until it answers")
    ]


async def test_a_failure_after_an_answer_without_backends_does_not_claim_to_keep_some(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with Running(Scripted([], DiscoveryError("gone")), interval="1ms") as running:
        await running.until(lambda: running.status.failing)
    assert caplog.messages[-1] == "web: scripted discovery failed: gone; there were no backends, none until it answers"


async def test_a_loop_that_takes_over_tells_what_is_kept_of_the_other(caplog: pytest.LogCaptureFixture) -> None:
    """After a reload that changed the options of a source which is down just then, the old backends still serve."""
    async with Running(Scripted([A, B])) as before:
        await before.until(lambda: before.applied == [[A, B]])
    caplog.clear()
    after = Running(Scripted(DiscoveryError("refused"), [A]))
    after.loop.take_over(before.loop)
    assert after.status.last_success == before.status.last_success
    async with after:
        await after.until(lambda: after.applied == [[A]])
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ("WARNING", "web: scripted discovery failed: refused; the last 2 backends are kept"),
        ("INFO", "web: scripted discovery: answers again: 1 backends"),
    ]


async def test_an_answer_without_backends_is_good_and_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    async with Running(Scripted([A], []), interval="1ms") as running:
        await running.until(lambda: running.applied[-1:] == [[]])
        assert not running.status.failing
    assert ("WARNING", "web: scripted discovery: 0 backends") in [(r.levelname, r.getMessage()) for r in caplog.records]


async def test_a_bug_of_a_kind_is_a_failure_with_its_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async with Running(Scripted(KeyError("address"), [A])) as running:
        await running.until(lambda: running.applied == [[A]])
    assert running.status.last_error == "KeyError: 'address'"
    assert "Traceback" in caplog.text


async def test_duplicates_are_merged_into_the_first(caplog: pytest.LogCaptureFixture) -> None:
    heavier = BackendSpec("a", 80, weight=9)
    async with Running(Scripted([A, B, A, heavier])) as running:
        await running.until(lambda: running.applied == [[A, B]])
    assert "a:80: given twice with different values, the first ones count" in caplog.text
    assert running.status.backends == 2


async def test_an_answer_without_end_is_a_failure() -> None:
    steps = [A], [BackendSpec(f"h{number}", 80) for number in range(MAX_BACKENDS + 1)]
    async with Running(Scripted(*steps), interval="1ms") as running:
        await running.until(lambda: running.status.failing)
    assert running.applied == [[A]]
    assert running.status.last_error == "an answer of 100,001 backends; 100,000 are allowed"


async def test_bad_entries_are_counted_and_warned_of_once(caplog: pytest.LogCaptureFixture) -> None:
    class Sloppy(Scripted):
        async def fetch(self) -> Answer:
            self.skipped.add("entry 3: no port")
            return await super().fetch()

    async with Running(Sloppy([A]), interval="1ms") as running:
        await running.until(lambda: len(running.applied) > 4)
        assert running.status.skipped == 1
    assert caplog.messages.count("web: scripted discovery: skipped entry 3: no port") == 1


async def test_a_pushed_answer_is_applied_at_once() -> None:
    discovery = Pushing([A])
    async with Running(discovery, interval="1h") as running:
        await running.until(lambda: running.applied == [[A]])
        discovery.pushes.put_nowait([A, B])
        await running.until(lambda: running.applied == [[A], [A, B]])
        assert (running.status.fetches, running.status.pushes) == (1, 1)


async def test_a_pushed_none_is_a_fetch_at_once() -> None:
    discovery = Pushing([A], [A, B])
    async with Running(discovery, interval="1h") as running:
        await running.until(lambda: running.applied == [[A]])
        discovery.pushes.put_nowait(None)
        await running.until(lambda: running.applied == [[A], [A, B]])


async def test_many_pushed_nones_are_few_fetches() -> None:
    discovery = Pushing([A])
    async with Running(discovery, Pace(gap=0.05)) as running:
        await running.until(lambda: running.applied == [[A]])
        for _ in range(100):
            discovery.pushes.put_nowait(None)
            await asyncio.sleep(0)
        await running.until(lambda: discovery.fetched >= 2)
        assert discovery.fetched <= 3


async def test_a_push_during_a_fetch_is_newer_than_what_the_fetch_brings() -> None:
    go = asyncio.Event()

    async def slow() -> list[BackendSpec]:
        await go.wait()
        return [A]

    discovery = Pushing(slow, [C])
    async with Running(discovery, interval="1h") as running:
        await running.until(lambda: discovery.fetched == 1)
        discovery.pushes.put_nowait([B])
        await running.until(lambda: running.applied == [[B]])
        go.set()
        running.loop.refresh()
        await running.until(lambda: running.applied == [[B], [C]])


async def test_a_push_while_a_fetch_is_being_applied_comes_after_it() -> None:
    discovery = Pushing([A])
    async with Running(discovery, interval="1h") as running:
        running.go_on.clear()
        await running.until(lambda: running.applying)
        discovery.pushes.put_nowait([B])
        await running.until(lambda: running.status.pushes == 1)
        running.go_on.set()
        await running.until(lambda: running.applied == [[A], [B]])


async def test_a_fetch_that_ends_while_a_push_is_being_applied_is_older() -> None:
    answer = asyncio.Event()

    async def slow() -> list[BackendSpec]:
        await answer.wait()
        return [B]

    discovery = Pushing([A], slow, [A, B])
    async with Running(discovery, interval="1h") as running:
        await running.until(lambda: running.applied == [[A]])
        running.loop.refresh()
        await running.until(lambda: discovery.fetched == 2)
        running.go_on.clear()
        discovery.pushes.put_nowait([C])
        await running.until(lambda: running.applying)
        answer.set()
        await asyncio.sleep(0.005)
        running.go_on.set()
        running.loop.refresh()
        await running.until(lambda: running.applied == [[A], [C], [A, B]])


@pytest.mark.parametrize("how", [DiscoveryError("stream cut"), "end"])
async def test_a_broken_push_channel_is_opened_again_while_polling_goes_on(
    how: Exception | str, caplog: pytest.LogCaptureFixture
) -> None:
    discovery = Pushing([A])
    async with Running(discovery, interval="1ms") as running:
        for _ in range(3):
            discovery.pushes.put_nowait(how)
        await running.until(lambda: discovery.opened == 4)
        polled = discovery.fetched
        await running.until(lambda: discovery.fetched > polled)
        discovery.pushes.put_nowait([B])
        await running.until(lambda: running.applied.count([B]) == 1)
    reason = "it ended" if how == "end" else "stream cut"
    told = [message for message in caplog.messages if "push channel" in message]
    assert told == [
        f"web: scripted discovery: push channel broke: {reason}",
        "web: scripted discovery: push channel is back",
    ]


async def test_a_broken_push_channel_makes_a_fetch_at_once() -> None:
    """A dead source meets its failpolicy then, not an interval later."""
    discovery = Pushing([A], DiscoveryError("gone"))
    async with Running(discovery, interval="1h", failpolicy="setempty") as running:
        await running.until(lambda: running.applied == [[A]])
        discovery.pushes.put_nowait(DiscoveryError("stream cut"))
        await running.until(lambda: running.applied == [[A], []])


async def test_a_broken_push_channel_is_opened_again_as_soon_as_the_source_answers_again() -> None:
    """Not after a delay that grew while the source was away."""
    discovery = Pushing([A], DiscoveryError("down"))
    async with Running(discovery, Pace(first=3600.0, gap=0.0)) as running:
        await running.until(lambda: running.applied == [[A]])
        discovery.pushes.put_nowait(DiscoveryError("stream cut"))
        await running.until(lambda: running.status.failing)
        discovery.steps = [[B]]
        running.loop.refresh()
        discovery.pushes.put_nowait([C])
        await running.until(lambda: running.applied == [[A], [B], [C]])


async def test_refresh_fetches_now() -> None:
    async with Running(Scripted([A], [B])) as running:
        await running.until(lambda: running.applied == [[A]])
        running.loop.refresh()
        await running.until(lambda: running.applied == [[A], [B]])


async def test_cancelling_ends_fetch_and_watch_and_closes() -> None:
    discovery = Pushing(lambda: asyncio.sleep(60))
    async with Running(discovery) as running:
        await running.until(lambda: discovery.fetched == 1 and discovery.opened == 1)
    assert running.task.cancelled()
    assert discovery.closed
    assert discovery.ended == 1
    assert len(asyncio.all_tasks()) == 1


async def test_a_discovery_that_cannot_be_closed_does_not_hold_up_the_end(caplog: pytest.LogCaptureFixture) -> None:
    class Stuck(Scripted):
        async def close(self) -> None:
            raise OSError("stuck")

    async with Running(Stuck([A])) as running:
        await running.until(lambda: running.applied == [[A]])
    assert running.task.cancelled()
    assert "not closed cleanly: OSError: stuck" in caplog.text


async def test_the_age_of_the_last_good_answer_is_known() -> None:
    async with Running(Scripted([A], DiscoveryError("gone")), interval="1ms") as running:
        assert running.status.last_success is None
        await running.until(lambda: running.status.failures > 0)
        first = running.status.last_success
        await running.until(lambda: running.status.failures > 2)
        assert first is not None
        assert running.status.last_success == first
