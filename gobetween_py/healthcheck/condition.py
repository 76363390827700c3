"""What is known of one backend's health, in one plain object that the API and the metrics read too."""

from __future__ import annotations

import asyncio
import time
from typing import Literal

from gobetween_py.healthcheck.ejection import Ejection
from gobetween_py.healthcheck.loop import Outcome
from gobetween_py.healthcheck.verdict import Verdict

State = Literal["waiting", "healthy", "unhealthy", "ejected"]
"""Waiting is for the first check. Only a healthy backend is live."""


class Condition:
    """Of one backend. Counters only grow."""

    __slots__ = ("been_live", "ejection", "failures", "last", "last_error", "returns", "runs", "since", "verdict")

    def __init__(self, live: bool | None) -> None:
        """live: the verdict before any check; None = there is none."""
        self.verdict = Verdict(live)
        """Of the checks."""
        self.ejection = Ejection()
        """By failed connects."""
        self.returns: asyncio.TimerHandle | None = None
        """While it is ejected: the end of that."""
        self.runs = 0
        self.failures = 0
        """Of the runs."""
        self.last: Outcome | None = None
        """Of the latest run."""
        self.last_error = ""
        """Of the latest run that failed or could not tell; stays after recovery."""
        self.since = time.time()
        """UNIX time of the latest change of state."""
        self.been_live = live is True
        """So that it returns when it is live once more."""

    def successor(self, live: bool | None) -> Condition:
        """Of the same backend under a changed config: with its verdict, or `live` before it has one; not ejected."""
        condition = Condition(live if self.verdict.live is None else self.verdict.live)
        condition.been_live |= self.been_live
        condition.ejection.count = self.ejection.count
        condition.runs, condition.failures = self.runs, self.failures
        condition.last, condition.last_error = self.last, self.last_error
        condition.since = self.since
        return condition

    @property
    def state(self) -> State:
        """From the verdict of the checks, and then from failed connects."""
        if self.verdict.live is None:
            return "waiting"
        if not self.verdict.live:
            return "unhealthy"
        return "ejected" if self.returns else "healthy"

    @property
    def last_check(self) -> str:
        """Its result, for the end of a reason that is another one; "" before the first."""
        return f"; the last check: {self.last.result}" if self.last else ""

    def record(self, outcome: Outcome, *, passes: int, fails: int) -> bool:
        """Take the outcome of a run; whether the verdict is another now. Arguments as for Verdict.record."""
        self.runs += 1
        self.last = outcome
        if not outcome.passed:
            self.last_error = outcome.result
        if outcome.passed is None:
            return False
        self.failures += not outcome.passed
        return self.verdict.record(outcome.passed, passes=passes, fails=fails)
