"""The least traffic."""

from array import array
from collections.abc import Container, Iterable, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count

from balancer.algorithm import Algorithm
from balancer.backend import Backend


class LeastBandwidth(Algorithm):
    """The backend with the lowest rate of bytes, both ways together, at the last tick; of several, each in turn.

    A heap of (rate, turn, backend), without the full ones, which leave it when they come up and enter again with
    room.
    """

    def __init__(self, values: "array[int]") -> None:
        super().__init__(values)
        self._heap: list[tuple[int, int, Backend]] = []
        self._full: set[Backend] = set()
        self._turns = count(1)
        self.moved = self._moved

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        turns = {backend: turn for _, turn, backend in self._heap}
        self._full = {backend for backend in backends if backend.full}
        self._rank((turns.get(backend) or next(self._turns), backend) for backend in backends if not backend.full)

    def tick(self) -> None:
        self._rank((turn, backend) for _, turn, backend in self._heap)

    def choose(self, client: str) -> Backend:
        heap = self._heap
        while heap:
            rate, _, backend = heap[0]
            if not backend.full:
                heapreplace(heap, (rate, next(self._turns), backend))
                return backend
            self._full.add(heappop(heap)[2])
        return self.backends[0]

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        passed = []
        found = None
        while self._heap and found is None:
            rate, turn, backend = heappop(self._heap)
            if backend.full:
                self._full.add(backend)
            elif backend in tried:
                passed.append((rate, turn, backend))
            else:
                found = backend
                passed.append((rate, next(self._turns), backend))
        for entry in passed:
            heappush(self._heap, entry)
        return found

    def _moved(self, backend: Backend) -> None:
        if backend in self._full and not backend.full:
            self._full.remove(backend)
            heappush(self._heap, (_rate(backend), next(self._turns), backend))

    def _rank(self, turns: Iterable[tuple[int, Backend]]) -> None:
        self._heap = [(_rate(backend), turn, backend) for turn, backend in turns]
        heapify(self._heap)


def _rate(backend: Backend) -> int:
    return backend.rx_second + backend.tx_second
