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
    """

    def __init__(self, values: "array[int]") -> None:
        super().__init__(values)
        self._queues: dict[int, OrderedDict[Backend, None]] = {}
        self._place: dict[Backend, int] = {}
        self._least = 0
        self.moved = self._moved

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        waiting, members = list(chain.from_iterable(self._queues.values())), set(backends)
        self._queues.clear()
        self._place.clear()
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
            if active < self._least or self._least not in self._queues:
                self._least = active  # the count moved by one, so nothing lies between it and the queue that emptied
        elif self._least not in self._queues:
            self._least = min(self._queues, default=0)

    def _enqueue(self, backend: Backend) -> int:
        active = self._place[backend] = self.values[backend.row]
        queue = self._queues.get(active)
        if queue is None:
            queue = self._queues[active] = OrderedDict()
        queue[backend] = None
        return active
