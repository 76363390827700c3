"""The backends of a pool by name, and how an answer of discovery changes them."""

import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter
from typing import Any, TypeVar

from balancer.backend import Backend, BackendSpec
from balancer.counters import Counters

log = logging.getLogger("pygobetween.balancer")

Item = TypeVar("Item")
Locate = Callable[[str, int], tuple[int, Any] | None]
"""(family, sockaddr) of a host and port, as in the socket module; None where that takes a look-up."""

AT_ONCE = 250
"""Backends that are worked on between two yields: about a millisecond."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an update did: `added` are new or back, `removed` no longer discovered, `updated` described differently."""

    added: tuple[Backend, ...] = ()
    removed: tuple[Backend, ...] = ()
    updated: tuple[Backend, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.updated)


class Roster:
    """Every backend that is discovered, and the gone ones that still have connections, by host and port.

    Args:
        counters: where the backends get their rows.
        live: the first verdict on a new backend.
        locate: gives a new backend its address, if it can tell without a look-up.
    """

    def __init__(self, counters: Counters, locate: Locate, *, live: bool) -> None:
        self._counters = counters
        self.live = live
        self._locate = locate
        self._known: dict[tuple[str, int], Backend] = {}
        self._sorted: tuple[Backend, ...] | None = ()

    def __iter__(self) -> Iterator[Backend]:
        return iter(self._known.values())

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All of them, sorted by address."""
        if self._sorted is None:
            self._sorted = tuple(sorted(self._known.values(), key=attrgetter("address")))
        return self._sorted

    def find(self, host: str, port: int) -> Backend | None:
        """The one with this host and port."""
        return self._known.get((host, port))

    def describe(
        self, specs: Iterable[BackendSpec], inspect: Callable[[Backend], None]
    ) -> Generator[None, None, Change]:
        """Take over an answer of discovery; `inspect` sees each backend that is added or updated.

        The steps before the last only add to the roster. The last one says of all the removed ones together that they
        are no longer discovered; to `remove` them is left to the caller. Abandoned before that, it leaves the added
        ones as if they were gone.
        """
        wanted: dict[tuple[str, int], BackendSpec] = {}
        duplicates: list[BackendSpec] = []
        for some in batches(specs):
            duplicates += [spec for spec in some if wanted.setdefault((spec.host, spec.port), spec) is not spec]
            yield
        if duplicates:
            log.warning("ignoring %d duplicate backends, the first is %s", len(duplicates), duplicates[0].address)
        added: list[Backend] = []
        updated: list[Backend] = []
        try:
            for items in batches(wanted.items()):
                for key, spec in items:
                    backend = self._known.get(key)
                    if backend is None:
                        backend = self._known[key] = self._new(spec)
                        added.append(backend)
                    elif not backend.discovered:
                        backend.discovered = True
                        backend.describe(spec)
                        added.append(backend)
                    elif backend.spec is spec or backend.spec == spec:
                        continue
                    else:
                        backend.describe(spec)
                        updated.append(backend)
                    inspect(backend)
                yield
            _ = self.backends  # sorts them
            yield
        except GeneratorExit:
            for backend in added:  # nobody was told of them: the next answer brings them in, or nothing does
                backend.discovered = False
            raise
        _warn_of_ignored([backend for backend in (*added, *updated) if backend.ignored])
        removed = tuple(b for key, b in self._known.items() if b.discovered and key not in wanted)
        for backend in removed:
            backend.discovered = False
        return Change(tuple(added), removed, tuple(updated))

    def remove(self, backend: Backend) -> bool:
        """Take a backend off and give its row back; False when it is not listed any more."""
        if self._known.get(backend.key) is not backend:
            return False
        del self._known[backend.key]
        self._counters.free(backend.row)
        self._sorted = None
        return True

    def _new(self, spec: BackendSpec) -> Backend:
        backend = Backend(spec, self._counters.allocate(), live=self.live)
        location = self._locate(spec.host, spec.port)
        if location is not None:
            backend.family, backend.sockaddr = location
        self._sorted = None
        return backend


def batches(items: Iterable[Item], size: int = AT_ONCE) -> Iterator[list[Item]]:
    """The items in lists of `size`, the last one shorter."""
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _warn_of_ignored(ignored: Sequence[Backend]) -> None:
    if ignored:
        log.warning(
            "ignoring %d backends with a negative weight or priority, the first is %s", len(ignored), ignored[0].address
        )
