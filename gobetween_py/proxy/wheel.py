"""A coarse timer wheel: thousands of idle timeouts for the price of one timer.

A connection sits in the slot (a set) of the tick at which its deadline may have come. Activity does not move it: it
only stores the current tick (`wheel.now`). When its slot comes up, the connection compares and either ends or sits down
in a later slot. So an event costs one attribute store, and a connection one set insertion per timeout period.
"""

from __future__ import annotations

import asyncio
import functools
import math
from typing import Protocol

TICK = 0.1
"""Seconds a tick: timeouts are at most this much late, never early."""


class Timed(Protocol):
    """What can sit in the wheel."""

    def expire(self, now: int) -> None:
        """The slot came up at tick `now`; the object is in no slot any more."""


Slot = set[Timed]


class Wheel:
    """Slots by tick number, advanced by one event loop timer."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._start = loop.time()
        self._slots: dict[int, Slot] = {}
        self.now = 0
        self._timer = loop.call_later(TICK, self._advance)

    def close(self) -> None:
        """Stop the timer; nothing expires any more."""
        self._timer.cancel()

    @staticmethod
    @functools.cache  # of the few timeouts that there are
    def ticks(seconds: float) -> int:
        """Return a duration as ticks, rounded up, one more for the tick already under way; 0 stays 0 (no limit)."""
        return math.ceil(seconds / TICK) + 1 if seconds > 0 else 0

    def add(self, timed: Timed, tick: int) -> Slot:
        """Put `timed` into the slot of `tick` (in the future) and return that slot, for `slot.discard(timed)`."""
        slot = self._slots.get(tick)
        if slot is None:
            slot = self._slots[tick] = set()
        slot.add(timed)
        return slot

    def _advance(self) -> None:
        # Ticks count real time, so a late timer (a busy loop) catches up instead of stretching every timeout.
        target = int((self._loop.time() - self._start) / TICK)
        self._timer = self._loop.call_at(self._start + (target + 1) * TICK, self._advance)
        while self.now < target:
            self.now += 1
            slot = self._slots.pop(self.now, None)
            while slot:
                slot.pop().expire(self.now)
