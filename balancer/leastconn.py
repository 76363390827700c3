"""The fewest open connections."""

from array import array
from collections import OrderedDict
from collections.abc import Container, Sequence
from itertools import chain

from balancer.algorithm import Algorithm
from balancer.backend import Backend


class LeastConn(Algorithm):
    """The backend with the fewest open connections; of several, the one that has waited longest.

    Backends with room stand in a queue for each number of open connections. An opened or closed connection moves its
    backend to the end of a neighbouring queue, so that the least number is always known: O(1), where a heap would be
    O(log n) and grow with outdated entries.

    A backend that starts slowly stands where it would with its connections divided by its share.
    """

    shares = True

    def __init__(self, values: "array[int]") -> None:
        super().__init__(values)
        self._queues: dict[int, OrderedDict[Backend, None]] = {}
        self._place: dict[Backend, int] = {}
        self._least = 0
        self._enqueue = self._enqueue_by_count
        self.moved = self._moved

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        waiting, members = list(chain.from_iterable(self._queues.values())), set(backends)
        self._queues.clear()
        self._place.clear()
        even = all(backend.share == 1 for backend in backends)
        self._enqueue = self._enqueue_by_count if even else self._enqueue_by_share
        for backend in dict.fromkeys((*waiting, *backends)):
            if backend in members and not backend.full:
                self._enqueue(backend)
        self._least = min(self._queues, default=0)

    def choose(self, client: str) -> Backend:
        queue = self._queues.get(self._least)
        return next(iter(queue)) if queue else self.backends[0]

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        for active in sorted(self._queues):
            for backend in self._queues[active]:
                if backend not in tried:
                    return backend
        return None

    def _moved(self, backend: Backend) -> None:
        place = self._place.pop(backend, None)
        if place is not None:
            queue = self._queues[place]
            del queue[backend]
            if not queue:
                del self._queues[place]
        if not backend.full:
            active = self._enqueue(backend)
            if active < self._least:
                self._least = active
            elif self._least not in self._queues:  # it emptied: one that moved by one has left nothing in between
                self._least = active if active == self._least + 1 else min(self._queues)
        elif self._least not in self._queues:
            self._least = min(self._queues, default=0)

    def _enqueue_by_count(self, backend: Backend) -> int:
        active = self._place[backend] = self.values[backend.row]
        queue = self._queues.get(active)
        if queue is None:
            queue = self._queues[active] = OrderedDict()
        queue[backend] = None
        return active

    def _enqueue_by_share(self, backend: Backend) -> int:
        """While any share is below 1. Two methods, because looking at the share costs 7 % of a connection's pick."""
        place = self._place[backend] = int(self.values[backend.row] / backend.share)
        self._queues.setdefault(place, OrderedDict())[backend] = None
        return place
