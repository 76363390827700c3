"""Consul's rules of blocking queries."""

from collections.abc import AsyncGenerator
from itertools import count
from typing import Any

import pytest

from discovery.consul.client import NoAnswerError, Reply
from discovery.consul.followed import WAIT, TokenBucket, followed, next_index
from discovery.contract import DiscoveryError


def _reply(index: int | None) -> Reply:
    return Reply("a:1", 200, index, filtered=False, text="[]")


class Script:
    """Reads that answer with one index after the other, or raise; `asked` are the indexes that were asked for."""

    def __init__(self, *steps: int | Exception | None) -> None:
        self.steps = list(steps)
        self.asked: list[int] = []

    async def read(self, *, index: int = 0, wait: str = "") -> Reply:
        assert wait == (WAIT if index else "")
        self.asked.append(index)
        step = self.steps.pop(0)
        if isinstance(step, Exception):
            raise step
        return _reply(step)

    def follow(self) -> AsyncGenerator[Reply]:
        return followed(self.read, TokenBucket(burst=1000))


async def _until_error(stream: AsyncGenerator[Reply]) -> tuple[list[int | None], Exception]:
    seen: list[int | None] = []
    try:
        async for reply in stream:
            seen.append(reply.index)
    except DiscoveryError as error:
        return seen, error
    raise AssertionError("it ended")


@pytest.mark.parametrize(
    ("last", "seen", "following"),
    [(0, 7, 7), (7, 9, 9), (7, 7, 7), (9, 7, 0), (0, 0, 1), (1, 0, 0)],
    ids=["first", "changed", "unchanged", "went back", "never below 1", "back to nothing"],
)
def test_the_next_index(last: int, seen: int, following: int) -> None:
    assert next_index(last, seen) == following


async def test_each_query_blocks_on_the_index_of_the_answer_before() -> None:
    script = Script(5, 8, 8, NoAnswerError("x"), NoAnswerError("x"))
    seen, _ = await _until_error(script.follow())
    assert seen == [5, 8, 8]
    assert script.asked[:4] == [0, 5, 8, 8]


async def test_an_index_that_goes_back_is_given_up_for_a_read_from_scratch() -> None:
    script = Script(500, 3, 3, NoAnswerError("x"), NoAnswerError("x"))
    await _until_error(script.follow())
    assert script.asked[:4] == [0, 500, 0, 3]


async def test_an_index_of_zero_does_not_become_a_busy_loop() -> None:
    script = Script(0, NoAnswerError("x"), NoAnswerError("x"))
    await _until_error(script.follow())
    assert script.asked[:2] == [0, 1]


async def test_a_blocking_query_without_an_answer_is_followed_by_a_read_from_scratch() -> None:
    """The agent, or the leader behind it, may be gone: another host may answer."""
    script = Script(5, NoAnswerError("gone"), 6, 7, NoAnswerError("gone"), 8, NoAnswerError("gone"))
    seen, _ = await _until_error(script.follow())
    assert seen == [5, 6, 7, 8]
    assert script.asked == [0, 5, 0, 6, 7, 0, 8]


async def test_where_blocking_never_works_the_error_is_raised() -> None:
    script = Script(5, NoAnswerError("no"), 5, NoAnswerError("never"))
    seen, error = await _until_error(script.follow())
    assert seen == [5, 5]
    assert str(error) == "never"


async def test_other_errors_are_raised_at_once() -> None:
    seen, error = await _until_error(Script(5, DiscoveryError("forbidden")).follow())
    assert seen == [5]
    assert str(error) == "forbidden"


async def test_an_answer_without_an_index_cannot_be_followed() -> None:
    seen, error = await _until_error(Script(None).follow())
    assert seen == []
    assert "a:1" in str(error)
    assert "X-Consul-Index" in str(error)


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _bucket(clock: Clock, **options: Any) -> TokenBucket:
    return TokenBucket(clock=clock, uniform=lambda least, _most: least, **options)


def test_a_few_changes_pass_at_once_and_a_storm_becomes_polling() -> None:
    clock = Clock()
    bucket = _bucket(clock, rate=2.0, burst=3)
    starts = []
    for _ in range(8):
        clock.now += bucket.take()
        starts.append(clock.now - 100)
    assert starts == [0, 0, 0, 0.5, 1.0, 1.5, 2.0, 2.5]


def test_quiet_fills_the_bucket_but_no_further_than_its_burst() -> None:
    clock = Clock()
    bucket = _bucket(clock, rate=2.0, burst=2)
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.5]
    clock.now += 1000
    assert [bucket.take() for _ in range(3)] == [0, 0, 0.5]


def test_the_delay_is_jittered_upwards() -> None:
    shares = (share for share in (1.0, 1.1, 1.25))
    bucket = TokenBucket(rate=1.0, burst=0, clock=lambda: 0.0, uniform=lambda *_: next(shares))
    assert [bucket.take() for _ in range(3)] == pytest.approx([1.0, 2.2, 3.75])


async def test_a_storm_is_limited_by_the_default_bucket() -> None:
    """Answers that come at once, always with a new index, are asked for twice a second after the first five."""
    delays = []
    clock = Clock()
    bucket = _bucket(clock)
    for _ in count():
        delays.append(bucket.take())
        clock.now += delays[-1]
        if len(delays) == 25:
            break
    assert delays[:5] == [0.0] * 5
    assert clock.now - 100 == pytest.approx(10.0)
