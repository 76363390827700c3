"""One after the other."""

from bisect import bisect
from collections.abc import Container, Sequence
from operator import attrgetter
from random import random

from balancer.algorithm import Algorithm
from balancer.backend import Backend

_address = attrgetter("address")


class RoundRobin(Algorithm):
    """In order of addresses, and round again.

    After a change it goes on with the address that follows the last one. A backend that starts slowly takes part in as
    many of the rounds as its share says.
    """

    shares = True

    _next = 0
    _round: Sequence[Backend] = ()

    def rebuild(self, backends: Sequence[Backend]) -> None:
        last = self._round[self._next - 1].address if self._next else ""
        super().rebuild(backends)
        self._even = all(backend.share == 1 for backend in backends)
        self._round = self._draw_round()
        self._next = bisect(self._round, last, key=_address)

    def choose(self, client: str) -> Backend:
        try:
            backend = self._round[self._next]
        except IndexError:
            self._round = self._draw_round()
            self._next = 1
            return self._round[0]
        self._next += 1
        return backend

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        for _ in self.backends:
            backend = self.choose(client)
            if not (backend.full or backend in tried):
                return backend
        # Only one that missed these rounds may be left.
        return next((backend for backend in self.backends if not (backend.full or backend in tried)), None)

    def _draw_round(self) -> Sequence[Backend]:
        """Who takes part in the next round."""
        if self._even:
            return self.backends
        return [b for b in self.backends if b.share == 1 or random() < b.share] or self.backends
