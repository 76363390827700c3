"""When checks run: every backend's at its own time, never two of one backend at once.

The first check of a backend starts at once. Its further ones start every interval, at a phase of its own, so that the
checks of all backends are spread evenly over the interval. One that takes longer than the interval makes its backend
miss the starts in between.

One coroutine starts what is due, and lets the relays have their turn after each start: a client beside 2,000 checks a
second saw a p99 of 0.18 ms so, of 0.45 ms with ten starts a turn, and of 0.13 ms without checks. A running check is a
task, with one timer for its timeout.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from heapq import heappop, heappush

from balancer import Backend
from discovery.duration import format_duration
from gobetween_py.healthcheck.contract import Check, CheckFailedError, NoVerdictError, Target
from gobetween_py.healthcheck.places import Places

log = logging.getLogger("pygobetween.healthcheck")

GRAIN = 0.005
"""Seconds between two looks at what is due."""
LONGEST = 60.0
"""Seconds that a check without a timeout may take."""
GOLDEN = (math.sqrt(5) - 1) / 2
"""Multiples of it, modulo 1, lie evenly however many they are: the phases."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one check."""

    passed: bool | None
    """None: it could not be told."""
    result: str
    """What was seen, in a few words."""
    started: float
    """UNIX time."""
    duration: float
    """Seconds."""


class Loop:
    """Checks backends until it is cancelled.

    Args:
        interval, timeout: seconds; a timeout of 0 is LONGEST.
        report: called with each outcome, in the event loop.
    """

    def __init__(
        self,
        check: Check,
        places: Places,
        *,
        interval: float,
        timeout: float,
        report: Callable[[Backend, Outcome], None],
    ) -> None:
        self._check = check
        self._places = places
        self._interval = interval
        self._timeout = timeout or LONGEST
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._most = check.at_once or math.inf
        self._entries: dict[Backend, _Entry] = {}
        self._heap: list[_Entry] = []
        self._numbers = itertools.count()
        self._running = 0
        self._asked = asyncio.Event()

    def add(self, backend: Backend) -> None:
        """Check it from now on, if it is not checked yet."""
        if backend in self._entries:
            return
        phase = 1 - next(self._numbers) * GOLDEN % 1
        self._entries[backend] = entry = _Entry(backend, self._loop.time(), phase * self._interval)
        self._push(entry)

    def remove(self, backend: Backend) -> None:
        """Check it no more; a check under way is cancelled and not reported."""
        entry = self._entries.pop(backend, None)
        if entry is not None:
            entry.removed = True
            if entry.task is not None:
                entry.task.cancel()

    async def run(self) -> None:
        """Until cancelled; then the checks under way are cancelled too."""
        try:
            while True:
                self._asked.clear()
                await self._start_due()
                await self._wait()
        finally:
            tasks = [entry.task for entry in self._entries.values() if entry.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _start_due(self) -> None:
        now = self._loop.time()
        while self._heap and self._heap[0].due <= now and self._running < self._most:
            entry = heappop(self._heap)
            if not entry.removed:
                entry.task = self._loop.create_task(self._run(entry))
                await asyncio.sleep(0)  # it is running now

    async def _wait(self) -> None:
        """Until something is due, at least GRAIN; while nothing can be, until somebody asks."""
        idle = self._running >= self._most or not self._heap
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(None if idle else max(GRAIN, self._heap[0].due - self._loop.time())):
                await self._asked.wait()

    def _push(self, entry: _Entry) -> None:
        heappush(self._heap, entry)
        if self._heap[0] is entry:
            self._asked.set()

    async def _run(self, entry: _Entry) -> None:
        """One check, and when the next one is due."""
        self._running += 1
        started, began = time.time(), self._loop.time()
        entry.timer = self._loop.call_later(self._timeout, self._time_is_up, entry)
        try:
            passed, result = await self._ask(entry)
        except asyncio.CancelledError:
            if not entry.overdue:
                raise
            passed, result = False, f"no answer within {format_duration(self._timeout)}"
            if entry.tried:
                self._places.move_on(entry.backend, entry.tried)
        finally:
            entry.timer.cancel()
            entry.task = None
            if self._running == self._most:
                self._asked.set()  # somebody may wait for the place
            self._running -= 1
        if entry.removed:
            return
        now = self._loop.time()
        entry.next_start(now, self._interval)
        self._push(entry)
        self._report(entry.backend, Outcome(passed, result, started, now - began))

    def _time_is_up(self, entry: _Entry) -> None:
        """Unless its answer is there already, and only this process was too busy to read it."""
        entry.timer = self._loop.call_later(GRAIN, entry.expire)

    async def _ask(self, entry: _Entry) -> tuple[bool | None, str]:
        """Whether the check passed, None when it cannot be told; and what was seen."""
        entry.tried = tried = list[Target]()
        while True:
            try:
                tried.append(await self._places.find(entry.backend, tried))
                return True, await self._check.check(tried[-1])
            except (CheckFailedError, NoVerdictError) as error:
                if not tried or not self._places.move_on(entry.backend, tried):
                    return False if isinstance(error, CheckFailedError) else None, str(error)
            except Exception as error:
                log.exception("defect in the health check of %s", entry.backend.address)
                return False, f"{type(error).__name__}: {error}"


class _Entry:
    """One backend's place in the schedule; ordered by when its next check is due."""

    __slots__ = ("backend", "due", "overdue", "phase", "removed", "task", "timer", "tried")

    timer: asyncio.TimerHandle
    """While a check is running: the end of its time."""

    def __init__(self, backend: Backend, due: float, phase: float) -> None:
        self.backend = backend
        self.due = due
        self.phase = phase
        """Seconds between its first and its second start; 0 after that."""
        self.tried: list[Target] = []
        """Where the check has asked so far; the last one is being asked, or was."""
        self.task: asyncio.Task[None] | None = None
        self.overdue = False
        self.removed = False

    def __lt__(self, other: _Entry) -> bool:
        return self.due < other.due

    def expire(self) -> None:
        """Its check has run out of time."""
        if self.task is not None:
            self.overdue = True
            self.task.cancel()

    def next_start(self, now: float, interval: float) -> None:
        """A check has ended: keep to the phase, and leave out the starts that it made impossible."""
        self.overdue = False
        self.due += self.phase or interval
        self.phase = 0.0
        if self.due < now:
            self.due += math.ceil((now - self.due) / interval) * interval
