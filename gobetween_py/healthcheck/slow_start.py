"""A backend that returns gets its share bit by bit."""

import asyncio

from balancer import Backend, Pool

LEAST = 0.05
"""The share it starts with."""
STEPS = 20
"""Steps that the share grows in, where they are not shorter than SHORTEST or longer than LONGEST."""
SHORTEST, LONGEST = 0.1, 1.0
"""Seconds: every step makes the pool build its tiers anew."""


class SlowStart:
    """Raises the shares of one pool's backends, evenly over time."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._loop = asyncio.get_running_loop()
        self._begun: dict[Backend, tuple[float, float]] = {}  # when, and how long it takes
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, backend: Backend, seconds: float) -> None:
        """It is back: from the least share to the whole one in so many seconds, above 0."""
        self._begun[backend] = self._loop.time(), seconds
        self._pool.set_share(backend, LEAST)
        if self._timer is None:
            self._step()

    def end(self, backend: Backend) -> None:
        """It is gone or out again: its share is whole when it comes back."""
        if self._begun.pop(backend, None):
            self._pool.set_share(backend, 1.0)

    def close(self) -> None:
        """Give every backend its whole share."""
        for backend in list(self._begun):
            self.end(backend)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _step(self) -> None:
        now = self._loop.time()
        for backend, (begun, seconds) in list(self._begun.items()):
            share = (now - begun) / seconds
            if share >= 1:
                self.end(backend)
            else:
                self._pool.set_share(backend, max(LEAST, share))
        self._timer = None
        if self._begun:
            shortest = min(seconds for _, seconds in self._begun.values())
            self._timer = self._loop.call_later(min(LONGEST, max(SHORTEST, shortest / STEPS)), self._step)
