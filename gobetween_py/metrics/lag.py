"""How late the event loop is: what a relayed byte or a timer waits for others at worst."""

from __future__ import annotations

import asyncio

from gobetween_py.metrics.counted import Histogram

EVERY = 0.1
"""Seconds between two looks."""

BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0)


class Lag:
    """A timer that notes how long after its time it runs, until `close`."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.seconds = Histogram(BOUNDS)
        self._loop = loop
        self._timer = loop.call_later(EVERY, self._look)

    def close(self) -> None:
        """Stop looking."""
        self._timer.cancel()

    def _look(self) -> None:
        now = self._loop.time()
        self.seconds.add(max(0.0, now - self._timer.when()))  # the loop rounds to milliseconds
        self._timer = self._loop.call_at(now + EVERY, self._look)
