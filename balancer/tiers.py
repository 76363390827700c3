"""Some backends by priority, with an algorithm for each priority."""

from collections.abc import Callable, Container, Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING

from balancer.algorithm import Algorithm
from balancer.backend import Backend, BackendSpec

if TYPE_CHECKING:
    from array import array


class Tiers:
    """The lowest-numbered priority goes first, and the others where it has no room.

    Args:
        values: the array of `Counters`.

    Attributes:
        choose: the choice of the first tier. Whether it can be had is for the caller to see.
    """

    def __init__(self, values: "array[int]") -> None:
        self._values = values
        self._tiers: dict[int, Algorithm] = {}
        self.choose: Callable[[str], Backend] = _nobody

    def leave(self) -> None:
        """Hear no more of the backends, nor does anybody else: before all that is over them is built anew."""
        for tier in self._tiers.values():
            if tier.moved is not None:
                for backend in tier.backends:
                    backend.moved = None

    def build(self, pickable: list[Backend], algorithm: type[Algorithm], *, tiered: bool) -> None:
        """Have these backends from now on, sorted by address. A tier that was there keeps its algorithm's state."""
        members: dict[int, list[Backend]] = {}
        if tiered:
            for backend in pickable:
                members.setdefault(backend.priority, []).append(backend)
        elif pickable:
            members[0] = pickable
        before, self._tiers = self._tiers, {}
        for priority in sorted(members):
            known = before.get(priority)
            tier = known if known and type(known) is algorithm else algorithm(self._values)
            self._tiers[priority] = tier
            tier.rebuild(tuple(members[priority]))
            if tier.moved is not None:
                _tell(tier.backends, tier.moved)
        self.choose = next((tier.choose for tier in self._tiers.values()), _nobody)

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        """The choice when the one of the first tier cannot be had."""
        for tier in self._tiers.values():
            backend = tier.choose(client)
            if not (backend.full or backend in tried):
                return backend
            other = tier.choose_other(client, tried)
            if other is not None:
                return other
        return None

    def full_changed(self) -> None:
        """Some backend became full, or has room again."""
        for tier in self._tiers.values():
            tier.full_changed()

    def tick(self) -> None:
        """The rates of the backends are new."""
        for tier in self._tiers.values():
            tier.tick()

    def pending(self) -> Iterator[None]:
        """See `Pool.pending`."""
        return chain.from_iterable(tier.pending() for tier in self._tiers.values())


def _tell(backends: Iterable[Backend], moved: Callable[[Backend], None]) -> None:
    """Have an algorithm hear of these backends, beside the one that may do so already."""
    for backend in backends:
        first = backend.moved
        backend.moved = moved if first is None else _both(first, moved)


def _both(first: Callable[[Backend], None], second: Callable[[Backend], None]) -> Callable[[Backend], None]:
    def moved(backend: Backend) -> None:
        first(backend)
        second(backend)

    return moved


_NOBODY = Backend(BackendSpec("nobody", 0), row=0)
_NOBODY.full = True


def _nobody(client: str) -> Backend:
    """The choice where there is none: a backend that is always full, which saves `Pool.acquire` a check."""
    return _NOBODY
