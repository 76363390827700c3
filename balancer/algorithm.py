"""The contract of a balancing algorithm."""

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Container, Iterator, Sequence
from math import isqrt
from typing import ClassVar

from balancer.backend import Backend


class Algorithm(ABC):
    """Chooses among the backends of one tier. A subclass needs `choose`, and `rebuild` if it prepares something.

    The pool gives it only backends that are live, discovered, resolved, and not taken out by a negative weight or
    priority. A full or already tried backend may be chosen: then the pool asks `choose_other`.

    Args:
        values: the array of `Counters`; the open connections of a backend are `values[backend.row]`.

    Attributes:
        backends: those of the last `rebuild`, sorted by address.
        moved: called with a backend after its open connections or its `full` changed; None when that does not matter.
    """

    tiered: ClassVar[bool] = False
    """Priority tiers apply without being asked for."""
    weighted: ClassVar[bool] = False
    """Weights count, so that a negative one takes a backend out."""
    shares: ClassVar[bool] = False
    """A backend's `share` counts, so that it can start slowly. A change of one is followed by `rebuild`."""
    draws: ClassVar[bool] = False
    """`choose` draws anew at each call, so that drawing again is a fair way past a full or tried backend."""

    moved: Callable[[Backend], None] | None = None

    def __init__(self, values: "array[int]") -> None:
        self.values = values
        self.backends: Sequence[Backend] = ()
        self._spare: Algorithm | None = None

    def rebuild(self, backends: Sequence[Backend]) -> None:
        """The tier is now these backends: one or more, in a sequence that never changes, sorted by address."""
        self.backends = backends
        self._spare = None

    @abstractmethod
    def choose(self, client: str) -> Backend:
        """A backend for the client: its IP as accept() gave it, "" over a UNIX socket. On the hot path: O(log n)."""

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        """A backend that is neither full nor tried, None when there is none. Asked after `choose` chose one that is.

        Unless a subclass knows better, this is the algorithm itself over the backends with room, kept until one fills
        up or empties: O(n) once after each such change, then as fast as `choose`. One with `moved` has to know better.
        """
        spare = self._spare
        if spare is None:
            if self.draws:
                for _ in range(isqrt(len(self.backends))):  # against O(n) for the exact list
                    backend = self.choose(client)
                    if not (backend.full or backend in tried):
                        return backend
            spare = self._spare = self._over([backend for backend in self.backends if not backend.full])
        if not spare.backends:
            return None
        backend = spare.choose(client)
        if backend not in tried:
            return backend
        left = [backend for backend in spare.backends if backend not in tried]
        return self._over(left).choose(client) if left else None

    def full_changed(self) -> None:
        """Some backend of the tier became full, or has room again."""
        self._spare = None

    def tick(self) -> None:
        """The rates of the backends (`rx_second`, `tx_second`) are new."""
        self._spare = None

    def pending(self) -> Iterator[None]:
        """What `rebuild` left to be done in steps of about a millisecond; see `Pool.pending`."""
        return iter(())

    def _over(self, backends: Sequence[Backend]) -> "Algorithm":
        """The same algorithm over fewer backends."""
        other = type(self)(self.values)
        if backends:
            other.rebuild(backends)
        return other
