"""When to look again: interval, retry after failure, jitter. Decides; sleeping is the loop's."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds and shares that a loop's timing is made of."""

    first: float = 2.0
    """Delay of the first retry."""
    factor: float = 2.0
    cap: float = 10.0
    """Longest delay of a retry."""
    retry_jitter: float = 0.25
    """A retry comes up to this share earlier or later..."""
    interval_jitter: float = 0.05
    """...and a regular fetch up to this, so that many servers do not ask in lockstep."""
    gap: float = 0.1
    """Shortest time between two fetches, however often a source pushes "fetch now"."""


class Backoff:
    """Delays of the retries since the last success: `first`, times `factor` each, at most `cap`, jittered.

    Args:
        longest: seconds; a cap below that of the pace, for a regular interval that is shorter (0 = none). A source that
            fails is never asked less often than one that answers, except that no retry comes before `pace.first`.
    """

    def __init__(
        self, pace: Pace, *, longest: float = 0.0, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        self._pace = pace
        self._cap = max(pace.first, min(pace.cap, longest or pace.cap))
        self._uniform = uniform
        self._delay = pace.first

    def next(self) -> float:
        """Seconds until the next retry."""
        delay = self._delay
        self._delay = min(self._cap, delay * self._pace.factor)
        return delay * self._uniform(1 - self._pace.retry_jitter, 1 + self._pace.retry_jitter)

    def reset(self) -> None:
        """It worked: the next retry is a first one again."""
        self._delay = self._pace.first
