"""Delays between tries."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from discovery.backoff import Backoff, Pace


def _without_jitter(low: float, high: float) -> float:
    return (low + high) / 2


def _delays(count: int, longest: float) -> list[float]:
    backoff = Backoff(Pace(), longest=longest, uniform=_without_jitter)
    return [backoff.next() for _ in range(count)]


def test_starts_at_two_seconds_and_doubles_up_to_ten() -> None:
    assert _delays(5, longest=0) == [2, 4, 8, 10, 10]


def test_never_slower_than_the_regular_interval() -> None:
    assert _delays(4, longest=5) == [2, 4, 5, 5]


def test_never_faster_than_the_first_delay() -> None:
    assert _delays(3, longest=0.1) == [2, 2, 2]


def test_a_long_interval_does_not_make_retries_slower_than_ten_seconds() -> None:
    assert max(_delays(9, longest=3600)) == 10


def test_a_success_starts_over() -> None:
    backoff = Backoff(Pace(), uniform=_without_jitter)
    for _ in range(5):
        backoff.next()
    backoff.reset()
    assert backoff.next() == 2


@given(st.floats(0, 1000), st.floats(0, 1))
def test_jitter_stays_within_its_share(longest: float, luck: float) -> None:
    plain = Backoff(Pace(), longest=longest, uniform=_without_jitter)
    jittered = Backoff(Pace(), longest=longest, uniform=lambda low, high: low + (high - low) * luck)
    delays = [(plain.next(), jittered.next()) for _ in range(8)]
    assert all(0.749 <= second / first <= 1.251 for first, second in delays)
    assert all(before <= after for before, after in pairwise(first for first, _ in delays))
