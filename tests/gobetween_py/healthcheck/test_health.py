"""What checks and failed connects make of the backends of a pool, in virtual time."""

import asyncio
import itertools
import logging
from collections.abc import Iterator

import pytest

from balancer import Backend, BackendSpec
from gobetween_py.healthcheck import registry
from gobetween_py.healthcheck.contract import NoVerdictError, Options
from gobetween_py.healthcheck.health import Health
from tests.gobetween_py.healthcheck import virtual
from tests.gobetween_py.healthcheck.scripted import Scripted, ScriptedOptions, failed, named, pool_of, unclear


@pytest.fixture(autouse=True)
def kind_of_the_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.BUILT_IN, "scripted", f"{Scripted.__module__}:Scripted")


@pytest.fixture(autouse=True)
def levels(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


class Bench:
    """The health of a pool of so many backends, `10.0.0.1:1` and on."""

    def __init__(self, backends: int = 1, **keys: object) -> None:
        given = {"kind": "scripted", "interval": "10s", **keys}
        if given["kind"] == "none":
            del given["interval"]
        self.options = (Options if given["kind"] == "none" else ScriptedOptions).model_validate(given)
        self.pool, _ = pool_of(backends, live=Health.initially_live(self.options))
        self.closed: list[str] = []
        self.health = Health("web", self.options, self.pool, close_connections=self.close)
        self._task: asyncio.Task[None] | None = None

    async def close(self, backends: set[Backend]) -> None:
        self.closed += sorted(backend.address for backend in backends)

    async def __aenter__(self) -> "Bench":
        await self.health.follow()
        self._task = asyncio.create_task(self.health.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    @property
    def check(self) -> Scripted:
        loop = self.health._loop
        assert loop is not None
        assert isinstance(loop._check, Scripted)
        return loop._check

    def answer(self, port: int, how: object = None) -> None:
        """What checks of a backend find from now on; None = it is well."""
        self.check.answers.pop(f"10.0.0.1:{port}", None)
        if how is not None:
            self.check.answers[f"10.0.0.1:{port}"] = how  # type: ignore[assignment]

    def states(self) -> list[str]:
        return [self.health.conditions[backend].state for backend in self.pool.backends]

    def live(self) -> list[int]:
        """Ports of the backends that the pool takes for live."""
        return [backend.port for backend in self.pool.backends if backend.live]

    def fail(self, port: int, times: int = 1) -> None:
        """Connects of clients to it fail."""
        for _ in range(times):
            self.health.refused(named(self.pool, port), "Connection refused")


def lines(caplog: pytest.LogCaptureFixture) -> Iterator[str]:
    for record in caplog.records:
        yield f"{record.levelname} {record.getMessage()}"
    caplog.clear()


# before the first check


@virtual.test
async def test_without_checks_every_backend_is_live_and_nothing_is_kept_of_it() -> None:
    async with Bench(2, kind="none") as bench:
        assert bench.live() == [1, 2]
        assert bench.health.begun.is_set()
        assert bench.health.conditions == {}


@virtual.test
async def test_a_new_backend_waits_for_its_first_check_which_decides(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(3, passes=5, fails=5) as bench:
        bench.check.takes = 1
        bench.answer(2, failed)
        bench.answer(3, unclear)
        await asyncio.sleep(0.5)
        assert bench.states() == ["waiting"] * 3
        assert bench.live() == []
        assert not bench.health.begun.is_set()
        await asyncio.sleep(1)
        assert bench.states() == ["healthy", "unhealthy", "waiting"]
        assert bench.live() == [1]
        assert bench.health.begun.is_set()
    assert sorted(lines(caplog)) == [
        "INFO web: backend 10.0.0.1:1 is healthy: scripted: well",
        "WARNING web: backend 10.0.0.1:2 is unhealthy: scripted: no answer",
        "WARNING web: the check of backend 10.0.0.1:3 tells nothing, it is waiting as before: nobody knows",
    ]


@virtual.test
async def test_initially_healthy_ones_are_used_until_enough_checks_failed() -> None:
    async with Bench(2, initial_status="healthy", fails=3) as bench:
        bench.answer(2, failed)
        await asyncio.sleep(2)
        assert bench.live() == [1, 2]
        await asyncio.sleep(28)
        assert bench.live() == [1]


@virtual.test
async def test_initially_unhealthy_ones_need_enough_passes() -> None:
    async with Bench(initial_status="unhealthy", passes=3) as bench:
        assert bench.states() == ["unhealthy"]
        assert bench.health.begun.is_set()
        await asyncio.sleep(15)
        assert bench.live() == []
        await asyncio.sleep(15)
        assert bench.live() == [1]


@virtual.test
async def test_picking_may_begin_when_one_is_live_or_nobody_waits() -> None:
    async with Bench(1) as bench:
        bench.answer(1, failed)
        await asyncio.sleep(1)
        assert bench.health.begun.is_set()
    async with Bench(2, timeout="5s") as bench:
        bench.check.answers = {}
        await asyncio.sleep(0.2)
        assert bench.health.begun.is_set()
        assert bench.live() == [1, 2]


@virtual.test
async def test_new_ones_in_place_of_all_live_ones_are_used_at_once() -> None:
    """Better unchecked backends than none: an exchange of all of them costs no client."""
    async with Bench(2) as bench:
        await asyncio.sleep(1)
        bench.pool.update([BackendSpec("10.0.0.1", 3)])
        await bench.health.follow()
        assert bench.states() == ["healthy"]
        assert bench.live() == [3]
        bench.answer(3, failed)
        await asyncio.sleep(1)
        assert bench.live() == []


@virtual.test
async def test_what_is_not_told_yet_is_told_before_the_others_go() -> None:
    """No pick in between finds nobody, whether the new ones have been checked or not."""
    async with Bench(2) as bench:
        await asyncio.sleep(1)
        for ports in ((1, 2, 3), (3,), (4, 5)):
            specs = [BackendSpec("10.0.0.1", port) for port in ports]
            bench.health.expect(specs)
            bench.pool.update(specs)
            assert bench.live()
            await bench.health.follow()
            assert bench.live()
            await asyncio.sleep(0.02)  # checked, but not told of


@virtual.test
async def test_a_backend_that_comes_back_is_a_new_one() -> None:
    async with Bench(2) as bench:
        await asyncio.sleep(1)
        backend = named(bench.pool, 2)
        bench.pool.acquire("", ())
        held = bench.pool.acquire("", ())
        assert held is backend
        bench.pool.update([BackendSpec("10.0.0.1", 1)])
        await bench.health.follow()
        assert backend not in bench.health.conditions
        bench.check.takes = 1
        bench.pool.update([BackendSpec("10.0.0.1", port) for port in (1, 2)])
        await bench.health.follow()
        assert bench.states() == ["healthy", "waiting"]
        assert bench.live() == [1]
        await asyncio.sleep(2)
        assert bench.live() == [1, 2]


@virtual.test
async def test_a_name_is_checked_from_when_it_is_resolved() -> None:
    async with Bench(1) as bench:
        change = bench.pool.update([BackendSpec("10.0.0.1", 1), BackendSpec("web.example", 80)])
        await bench.health.follow()
        await asyncio.sleep(50)
        [backend] = change.added
        assert bench.health.conditions[backend].state == "waiting"
        bench.pool.set_resolved(backend, 2, ("10.0.0.9", 80))
        bench.health.resolved([backend])
        await asyncio.sleep(1)
        assert backend.live


# changes of state


@virtual.test
async def test_each_change_is_one_line_with_the_reason(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(passes=2, fails=3) as bench:
        await asyncio.sleep(1)
        list(lines(caplog))
        bench.answer(1, failed)
        await asyncio.sleep(60)
        assert bench.live() == []
        bench.answer(1)
        await asyncio.sleep(60)
        assert bench.live() == [1]
    assert list(lines(caplog)) == [
        "WARNING web: backend 10.0.0.1:1 is unhealthy: scripted: no answer, 3 times in a row",
        "INFO web: backend 10.0.0.1:1 is healthy: scripted: well, 2 times in a row",
    ]


@virtual.test
async def test_what_cannot_be_told_leaves_the_status_and_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    """However different it is from check to check: a program may print the time."""
    numbers = itertools.count(1)

    def unclear_in_many_ways() -> str:
        raise NoVerdictError(f"nobody knows, for the {next(numbers)}. time")

    async with Bench() as bench:
        await asyncio.sleep(1)
        list(lines(caplog))
        bench.answer(1, unclear_in_many_ways)
        await asyncio.sleep(100)
        assert bench.live() == [1]
        condition = bench.health.conditions[named(bench.pool, 1)]
        assert condition.runs >= 10
        assert (condition.failures, condition.last_error) == (0, f"nobody knows, for the {next(numbers) - 1}. time")
    assert list(lines(caplog)) == [
        "WARNING web: the check of backend 10.0.0.1:1 tells nothing, it is healthy as before: "
        "nobody knows, for the 1. time"
    ]


@virtual.test
async def test_what_is_known_is_kept_for_others_to_read() -> None:
    async with Bench(interval="10s") as bench:
        condition = bench.health.conditions[named(bench.pool, 1)]
        began = condition.since
        await asyncio.sleep(25)
        bench.answer(1, failed)
        await asyncio.sleep(10)
        assert (condition.runs, condition.failures, condition.last_error) == (4, 1, "no answer")
        assert condition.last is not None
        assert (condition.last.passed, condition.last.result) == (False, "no answer")
        assert condition.since >= began


@virtual.test
async def test_many_changes_are_told_to_the_pool_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each telling makes it prepare its picks anew."""
    async with Bench(500) as bench:
        told = []
        tell = bench.pool.set_live
        monkeypatch.setattr(
            bench.pool, "set_live", lambda *news: (told.append(asyncio.get_running_loop().time()), tell(*news))
        )
        await asyncio.sleep(5)
        assert len(told) == 500
        assert len(set(told)) <= 3


@virtual.test
async def test_open_connections_are_closed_where_that_is_wanted() -> None:
    for on_down, closed in (("keep", []), ("close", ["10.0.0.1:2", "10.0.0.1:3"])):
        async with Bench(3, on_down=on_down, max_fails=1) as bench:
            await asyncio.sleep(1)
            bench.answer(2, failed)
            await asyncio.sleep(10)
            bench.fail(3)
            await asyncio.sleep(1)
            assert bench.live() == [1]
            assert bench.closed == closed


@virtual.test
async def test_the_first_verdict_closes_nothing() -> None:
    async with Bench(1, on_down="close") as bench:
        bench.answer(1, failed)
        await asyncio.sleep(1)
        assert bench.states() == ["unhealthy"]
        assert bench.closed == []


@virtual.test
async def test_a_returning_backend_starts_slowly_and_a_new_one_does_not() -> None:
    async with Bench(2, slow_start="30s", interval="5s") as bench:
        await asyncio.sleep(1)
        assert [backend.share for backend in bench.pool.backends] == [1, 1]
        bench.answer(2, failed)
        await asyncio.sleep(10)
        assert bench.live() == [1]
        bench.answer(2)
        await asyncio.sleep(10)
        backend = named(bench.pool, 2)
        assert backend.live
        assert backend.share < 0.5
        await asyncio.sleep(30)
        assert backend.share == 1


# failed connects


@virtual.test
@pytest.mark.parametrize("kind", ["scripted", "none"])
async def test_one_that_was_held_by_hand_returns_slowly_too(kind: str) -> None:
    """Unless it is down: then it begins when it is up."""
    async with Bench(3, kind=kind, slow_start="1m") as bench:
        if kind == "scripted":
            bench.answer(3, failed)
        await asyncio.sleep(1)
        bench.health.let_in([named(bench.pool, port) for port in (2, 3)])
        shares = [backend.share for backend in bench.pool.backends]
        assert shares == [1.0, 0.05, 1.0 if kind == "scripted" else 0.05]
        await asyncio.sleep(61)
        assert [backend.share for backend in bench.pool.backends] == [1.0] * 3


@virtual.test
async def test_without_slow_start_it_has_its_share_at_once() -> None:
    async with Bench(1) as bench:
        await asyncio.sleep(1)
        bench.health.let_in(bench.pool.backends)
        assert bench.pool.backends[0].share == 1.0


@virtual.test
async def test_failed_connects_eject_a_backend_for_a_growing_time(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(3, kind="none", max_fails=3, ejection_time="20s", slow_start="1s") as bench:
        bench.fail(2, times=2)
        assert bench.states() == ["healthy"] * 3
        bench.fail(2)
        await asyncio.sleep(1)
        assert bench.states() == ["healthy", "ejected", "healthy"]
        assert bench.live() == [1, 3]
        await asyncio.sleep(19.5)
        assert bench.live() == [1, 2, 3]
        assert named(bench.pool, 2).share < 1
        bench.fail(2, times=3)
        await asyncio.sleep(30)
        assert bench.live() == [1, 3]
        await asyncio.sleep(11)
        assert bench.live() == [1, 2, 3]
    cause = "3 connects failed within 10s, the last: Connection refused"
    back = "INFO web: backend 10.0.0.1:2 is healthy: its ejection is over, its time is over"
    assert list(lines(caplog)) == [
        f"WARNING web: backend 10.0.0.1:2 is ejected: {cause}; for 20s",
        back,
        f"WARNING web: backend 10.0.0.1:2 is ejected: {cause}; for 40s",
        back,
    ]


@virtual.test
async def test_without_max_fails_failed_connects_do_nothing() -> None:
    async with Bench(3, kind="none") as bench:
        bench.fail(2, times=1000)
        await asyncio.sleep(1)
        assert bench.live() == [1, 2, 3]


@virtual.test
@pytest.mark.parametrize(
    ("backends", "percent", "most"), [(10, 50, 5), (10, 25, 2), (3, 50, 1), (1, 100, 0), (4, 100, 3)]
)
async def test_never_more_than_the_percentage_and_never_the_last(backends: int, percent: int, most: int) -> None:
    async with Bench(backends, kind="none", max_fails=2, max_ejection_percent=percent) as bench:
        for port in range(1, backends + 1):
            bench.fail(port, times=2)
        await asyncio.sleep(1)
        assert bench.states().count("ejected") == most
        assert len(bench.live()) == backends - most


@virtual.test
async def test_one_that_stays_in_for_that_is_said_at_most_once_a_window(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(2, kind="none", max_fails=2, fail_window="10s") as bench:
        bench.fail(1, times=2)
        list(lines(caplog))
        for _ in range(9):
            bench.fail(2, times=100)
            await asyncio.sleep(1)
    assert list(lines(caplog)) == [
        "WARNING web: backend 10.0.0.1:2 is not ejected, although 2 connects failed within 10s, the last: Connection "
        "refused; 1 of 2 backends are live, 50% may be ejected"
    ]


@virtual.test
async def test_ejected_ones_return_when_no_other_is_left(caplog: pytest.LogCaptureFixture) -> None:
    """The checks take the others out: the pool is used rather than nothing."""
    async with Bench(3, max_fails=1, ejection_time="1m") as bench:
        await asyncio.sleep(1)
        bench.fail(1)
        await asyncio.sleep(1)
        assert bench.live() == [2, 3]
        list(lines(caplog))
        bench.answer(2, failed)
        bench.answer(3, failed)
        await asyncio.sleep(10)
        assert bench.live() == [1]
    readmitted = "INFO web: backend 10.0.0.1:1 is healthy: its ejection is over, because no other backend is left"
    assert f"{readmitted}; the last check: well" in lines(caplog)


@virtual.test
async def test_an_ejected_one_that_checks_find_dead_stays_out() -> None:
    async with Bench(3, max_fails=1, ejection_time="15s") as bench:
        await asyncio.sleep(1)
        bench.fail(2)
        bench.answer(2, failed)
        await asyncio.sleep(12)
        assert bench.states()[1] == "unhealthy"
        await asyncio.sleep(20)
        assert bench.live() == [1, 3]
        bench.answer(2)
        await asyncio.sleep(12)
        assert bench.live() == [1, 2, 3]


# panic


@virtual.test
async def test_below_the_threshold_all_are_used(caplog: pytest.LogCaptureFixture) -> None:
    async with Bench(4, panic_threshold=50) as bench:
        await asyncio.sleep(1)
        picked = {bench.pool.acquire("") for _ in range(8)}
        assert len(picked) == 4
        list(lines(caplog))
        for port in (1, 2):
            bench.answer(port, failed)
        await asyncio.sleep(12)
        assert {backend.port for backend in (bench.pool.acquire("") for _ in range(8)) if backend} == {3, 4}
        bench.answer(3, failed)
        await asyncio.sleep(12)
        assert bench.live() == [4]
        assert {backend.port for backend in (bench.pool.acquire("") for _ in range(8)) if backend} == {1, 2, 3, 4}
        bench.answer(1)
        await asyncio.sleep(12)
        assert {backend.port for backend in (bench.pool.acquire("") for _ in range(8)) if backend} == {1, 4}
    told = [line for line in lines(caplog) if "panic" in line]
    assert told == [
        f"WARNING web: {what} of 4 backends are live, the panic threshold is 50%"
        for what in ("all backends are used, whatever their health: 1", "only live backends are used again: 2")
    ]


@virtual.test
async def test_without_a_threshold_none_is_used_when_all_are_dead() -> None:
    async with Bench(2) as bench:
        for port in (1, 2):
            bench.answer(port, failed)
        await asyncio.sleep(1)
        assert bench.pool.acquire("") is None


@virtual.test
async def test_those_that_wait_are_no_reason_to_panic() -> None:
    async with Bench(2, panic_threshold=100) as bench:
        bench.check.takes = 5
        await asyncio.sleep(1)
        assert bench.pool.acquire("") is None


# a changed config


@virtual.test
async def test_another_config_goes_on_from_the_verdicts_of_the_one_before() -> None:
    async with Bench(2) as bench:
        bench.answer(2, failed)
        await asyncio.sleep(1)
        before = bench.health
        await bench.__aexit__()
        options = ScriptedOptions.model_validate({"interval": "1s", "fails": 3})
        bench.health = Health("web", options, bench.pool)
        await bench.health.take_over(before)
        assert bench.states() == ["healthy", "unhealthy"]
        assert bench.live() == [1]
        await bench.__aenter__()
        await asyncio.sleep(5)
        assert bench.live() == [1, 2]
        assert bench.health.conditions[named(bench.pool, 2)].runs >= 5


@virtual.test
async def test_a_config_without_checks_lets_all_of_them_in() -> None:
    async with Bench(2, max_fails=1) as bench:
        bench.answer(2, failed)
        await asyncio.sleep(1)
        before = bench.health
    bench.health = Health("web", Options(), bench.pool)
    await bench.health.take_over(before)
    assert bench.live() == [1, 2]


@virtual.test
async def test_a_changed_config_is_a_reason_like_others(caplog: pytest.LogCaptureFixture) -> None:
    """Where it changes a state: of a dead backend that is checked no more, of an ejected one."""
    async with Bench(3, max_fails=1, ejection_time="1m") as bench:
        bench.answer(2, failed)
        await asyncio.sleep(1)
        bench.fail(3)
        assert bench.states() == ["healthy", "unhealthy", "ejected"]
        before = bench.health
    list(lines(caplog))
    for options, states in (
        (ScriptedOptions.model_validate({"interval": "10s"}), ["healthy", "unhealthy", "healthy"]),
        (Options(max_fails=1), ["healthy"] * 3),
    ):
        bench.health = Health("web", options, bench.pool)
        await bench.health.take_over(before)
        assert bench.states() == states
    changed = "the config has changed; the last check"
    assert [*lines(caplog)] == [
        f"INFO web: backend 10.0.0.1:3 is healthy: {changed}: well",
        f"INFO web: backend 10.0.0.1:2 is healthy: {changed}: no answer",
        f"INFO web: backend 10.0.0.1:3 is healthy: {changed}: well",
    ]


@virtual.test
async def test_what_was_counted_goes_on_under_another_config() -> None:
    """And a backend that was live before is one that returns, when it is live again."""
    async with Bench(3, max_fails=1, ejection_time="1s") as bench:
        bench.answer(1, failed)
        bench.fail(2)
        await asyncio.sleep(1)
        bench.fail(2)
        await asyncio.sleep(11)
        bench.answer(2, failed)
        await asyncio.sleep(12)
        before = bench.health
        known = {backend.port: condition for backend, condition in before.conditions.items()}
    bench.health = Health("web", ScriptedOptions.model_validate({"interval": "10s", "slow_start": "1m"}), bench.pool)
    await bench.health.take_over(before)
    for backend, condition in bench.health.conditions.items():
        past = known[backend.port]
        assert (condition.runs, condition.failures, condition.since) == (past.runs, past.failures, past.since)
        assert condition.ejection.count == past.ejection.count
    async with bench:
        await asyncio.sleep(3)
        assert bench.live() == [1, 2, 3]
        assert [named(bench.pool, port).share for port in (1, 2)] == [1.0, pytest.approx(0.05, abs=0.05)]


@virtual.test
async def test_checks_that_are_new_begin_with_backends_that_serve() -> None:
    """They do not wait for a first check: nobody had asked for one before."""
    async with Bench(2, kind="none") as bench:
        before = bench.health
    options = ScriptedOptions.model_validate({"interval": "10s", "fails": 2})
    bench.health = Health("web", options, bench.pool)
    await bench.health.take_over(before)
    assert bench.states() == ["healthy"] * 2
    async with bench:
        bench.answer(2, failed)
        await asyncio.sleep(2)
        assert bench.live() == [1, 2]
        await asyncio.sleep(20)
        assert bench.live() == [1]


@virtual.test
async def test_nothing_goes_on_after_the_end() -> None:
    """No ejection ends, no share grows, no panic stays."""
    async with Bench(3, kind="none", max_fails=1, slow_start="10s", panic_threshold=70) as bench:
        bench.fail(1)
        await asyncio.sleep(1)
        assert bench.pool._panic
    await asyncio.sleep(100)
    assert bench.live() == [2, 3]
    assert not bench.pool._panic


@virtual.test
async def test_a_change_that_was_cut_off_is_caught_up_with() -> None:
    bench = Bench(10_000)
    async with bench:
        bench.pool.update([BackendSpec("10.0.0.2", port) for port in range(1, 10_001)])
        following = asyncio.create_task(bench.health.follow())
        await asyncio.sleep(0)
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        assert bench.health.conditions.keys() != set(bench.pool.backends)
        await bench.health.follow()
        assert bench.health.conditions.keys() == set(bench.pool.backends)


@virtual.test
async def test_the_end_leaves_nothing_untold() -> None:
    """What the checks have just found counts for a config that goes on from it."""
    async with Bench(2, on_down="close") as bench:
        await asyncio.sleep(1)
        bench.answer(2, failed)
        await asyncio.sleep(9)
        while bench.states() == ["healthy"] * 2:
            await asyncio.sleep(0.001)
    assert bench.live() == [1]
    await asyncio.sleep(0)
    assert bench.closed == ["10.0.0.1:2"]


@virtual.test
async def test_a_change_of_ten_thousand_leaves_the_loop_free() -> None:
    """It is worked off in slices."""
    turns = 0
    bench = Bench(10_000)

    async def others() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    task = asyncio.create_task(others())
    await bench.health.follow()
    task.cancel()
    assert turns >= 5
    assert len(bench.health.conditions) == 10_000
