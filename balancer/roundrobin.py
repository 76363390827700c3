"""One after the other."""

from bisect import bisect
from collections.abc import Container, Sequence
from operator import attrgetter

from balancer.algorithm import Algorithm
from balancer.backend import Backend

_address = attrgetter("address")


class RoundRobin(Algorithm):
    """In order of addresses, and round again.

    After a change it goes on with the address that follows the last one.
    """

    _next = 0

    def rebuild(self, backends: Sequence[Backend]) -> None:
        if self._next:
            self._next = bisect(backends, self.backends[self._next - 1].address, key=_address)
        super().rebuild(backends)

    def choose(self, client: str) -> Backend:
        try:
            backend = self.backends[self._next]
        except IndexError:
            self._next = 1
            return self.backends[0]
        self._next += 1
        return backend

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        for _ in self.backends:
            backend = self.choose(client)
            if not (backend.full or backend in tried):
                return backend
        return None
