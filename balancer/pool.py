"""The backends of one server, and the pick among them."""

import logging
from collections.abc import Callable, Container, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from operator import attrgetter
from typing import Any, TypeVar

from balancer.algorithm import Algorithm
from balancer.backend import Backend, BackendSpec
from balancer.counters import RX, TX, Counters
from balancer.registry import load

log = logging.getLogger("pygobetween.balancer")

Item = TypeVar("Item")
Location = tuple[int, Any]
"""(address family, sockaddr) as in the socket module."""

AT_ONCE = 250
"""Backends that an update looks at between two yields: about a millisecond."""


def _nowhere(host: str, port: int) -> None:
    """For pools whose backends are all resolved by `set_resolved`."""


@dataclass(frozen=True, slots=True)
class Change:
    """What an update did: `added` are new or back, `removed` no longer discovered, `updated` described differently."""

    added: tuple[Backend, ...] = ()
    removed: tuple[Backend, ...] = ()
    updated: tuple[Backend, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.updated)


class Pool:
    """The backends of a server, and who of them gets the next connection.

    Picked are backends that are discovered, live, resolved and not full, by the algorithm, from the lowest-numbered
    priority that has one. The algorithm never looks at backends that cannot be picked: any number of changes only
    marks the tiers stale, and the next `acquire` builds them anew, once.

    Args:
        algorithm: its name in the registry.
        counters: where the backends get their rows.
        priority_tiers: priorities count for any algorithm; without it they do for those that ask for it themselves
            (weight).
        initially_live: the verdict on a new backend until health checks give theirs.
        locate: (family, sockaddr) of a host and port that need no look-up, else None; must not take long.

    Attributes:
        retired_rx, retired_tx: bytes from and to backends that are listed no more: what the pool has moved is this and
            the sum over `backends`.

    Raises:
        UnknownAlgorithmError: the registry does not know the algorithm.
    """

    def __init__(
        self,
        algorithm: str,
        counters: Counters,
        *,
        priority_tiers: bool = False,
        initially_live: bool = True,
        locate: Callable[[str, int], Location | None] = _nowhere,
    ) -> None:
        self._algorithm = load(algorithm)
        self._counters = counters
        self._values = counters.values
        self._tiered = priority_tiers or self._algorithm.tiered
        self._initially_live = initially_live
        self._locate = locate
        self._known: dict[tuple[str, int], Backend] = {}
        self._listed: tuple[Backend, ...] | None = ()
        self._tiers: dict[int, Algorithm] = {}
        self._choose: Callable[[str], Backend] = _nobody
        self._stale = False
        self._panic = False
        self.retired_rx = self.retired_tx = 0

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All that are listed, sorted by address: the discovered ones, and gone ones with open connections."""
        if self._listed is None:
            self._listed = tuple(sorted(self._known.values(), key=attrgetter("address")))
        return self._listed

    # The data plane's side: once per connection, so written for speed. ACTIVE is column 0 of a row.

    def acquire(self, client: str, tried: Container[Backend] = ()) -> Backend | None:
        """Pick a backend and count a connection as open there; None when there is none to pick.

        Args:
            client: the peer's IP as accept() gave it, "" over a UNIX socket.
            tried: backends this connection has failed at.
        """
        if self._stale:
            self._rebuild()
        backend = self._choose(client)
        if backend.full or backend in tried:
            other = self._choose_other(client, tried)
            if other is None:
                return None
            backend = other
        active = self._values[backend.row] + 1
        self._values[backend.row] = active
        if active >= backend.limit:
            self._set_full(backend, True)
        moved = backend.moved
        if moved is not None:
            moved(backend)
        return backend

    def release(self, backend: Backend) -> None:
        """A connection acquired here has ended. The backend's row is not to be written after its last one has.

        Raises:
            RuntimeError: the backend has no open connection.
        """
        active = self._values[backend.row] - 1
        if active < 0:
            raise RuntimeError(f"{backend!r} was released more often than acquired")
        self._values[backend.row] = active
        if backend.full and active < backend.limit:
            self._set_full(backend, False)
        moved = backend.moved
        if moved is not None:
            moved(backend)
        if not (active or backend.discovered):
            self._forget(backend)

    # The control plane's side.

    def update(self, specs: Iterable[BackendSpec]) -> Change:
        """What `updating` does, at once: some 20 ms for 10,000 new backends."""
        steps = self.updating(specs)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                change: Change = end.value
                return change

    def updating(self, specs: Iterable[BackendSpec], at_once: int = AT_ONCE) -> Generator[None, None, Change]:
        """The answer of discovery is now this. Of duplicates (same host and port) the first counts.

        Known backends keep their counters and health. One that is gone takes no new connections and stays listed
        until its last one ends; one that comes back before that is the same object.

        It yields after every `at_once` backends, about every millisecond, for other work to be done in between, except
        for another update. New backends are listed one by one, but picks go over from the older answer to this one in
        a single step.
        """
        wanted: dict[tuple[str, int], BackendSpec] = {}
        duplicates: list[BackendSpec] = []
        for some in _batches(specs, at_once):
            duplicates += [spec for spec in some if wanted.setdefault((spec.host, spec.port), spec) is not spec]
            yield
        if duplicates:
            log.warning("ignoring %d duplicate backends, the first is %s", len(duplicates), duplicates[0].address)
        added: list[Backend] = []
        updated: list[Backend] = []
        for some in _batches(wanted.values(), at_once):
            for spec in some:
                self._describe(spec, added, updated)
            yield
        _warn_of_ignored([backend for backend in (*added, *updated) if backend.ignored])
        _ = self.backends  # sorts them
        yield
        removed = tuple(b for key, b in self._known.items() if b.discovered and key not in wanted)
        for backend in removed:
            backend.discovered = False
        self._stale = self._stale or bool(added or removed or updated)
        yield
        if self._stale:
            self._rebuild()
        for gone in _batches(removed, at_once):
            yield
            for backend in gone:
                # It may be forgotten already: its last connection has ended meanwhile.
                if self._known.get(backend.key) is backend and not self._values[backend.row]:
                    self._forget(backend)
        return Change(tuple(added), removed, tuple(updated))

    def set_live(self, backend: Backend, live: bool) -> None:
        """The verdict of the health checks."""
        if backend.live != live:
            backend.live = live
            self._stale = True

    def set_held(self, backend: Backend, held: bool) -> None:
        """Whether somebody took the backend out by hand: it gets no new connections, whatever else is true of it."""
        if backend.held != held:
            backend.held = held
            self._stale = True

    def set_share(self, backend: Backend, share: float) -> None:
        """How much of its usual part a backend gets: above 0, at most 1. Counts where the algorithm has `shares`."""
        if backend.share != share:
            backend.share = share
            self._stale = self._stale or self._algorithm.shares

    def set_panic(self, panic: bool) -> None:
        """Whether backends are picked without regard to their health."""
        if self._panic != panic:
            self._panic = panic
            self._stale = True

    def set_resolved(self, backend: Backend, family: int, sockaddr: Any | None) -> None:
        """Where to connect from now on; None takes the backend out until it is known again."""
        if (backend.sockaddr is None) != (sockaddr is None):
            self._stale = True
        backend.family = family
        backend.sockaddr = sockaddr

    def tick(self, seconds: float) -> None:
        """Take the rates of bytes from the counters; `seconds` is the time since the last tick, more than 0."""
        values = self._values
        for backend in self._known.values():
            rx, tx = values[backend.row + RX], values[backend.row + TX]
            backend.rx_second = round((rx - backend.rx_seen) / seconds)
            backend.tx_second = round((tx - backend.tx_seen) / seconds)
            backend.rx_seen = rx
            backend.tx_seen = tx
        for tier in self._tiers.values():
            tier.tick()

    @property
    def pending(self) -> Iterator[None]:
        """Work that changes left over: to be exhausted after each, with other work between its steps.

        Most algorithms leave none; maglev fills its table here. A step takes about a millisecond. Until it is done
        picks are valid, but follow the older state. A change on the way is taken up by the same work. For example:

            for _ in pool.pending:
                await asyncio.sleep(0)
        """
        if self._stale:
            self._rebuild()
        return chain.from_iterable(tier.pending() for tier in self._tiers.values())

    def _choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        """The choice when the one of the first tier cannot be had."""
        for tier in self._tiers.values():
            backend = tier.choose(client)
            if not (backend.full or backend in tried):
                return backend
            other = tier.choose_other(client, tried)
            if other is not None:
                return other
        return None

    def _set_full(self, backend: Backend, full: bool) -> None:
        backend.full = full
        for tier in self._tiers.values():
            tier.full_changed()

    def _forget(self, backend: Backend) -> None:
        del self._known[backend.key]
        self.retired_rx += self._values[backend.row + RX]
        self.retired_tx += self._values[backend.row + TX]
        self._counters.free(backend.row)
        self._listed = None

    def _describe(self, spec: BackendSpec, added: list[Backend], updated: list[Backend]) -> None:
        """Make a backend of the spec, or tell the known one of it."""
        backend = self._known.get((spec.host, spec.port))
        if backend is None:
            backend = self._known[spec.host, spec.port] = Backend(
                spec, self._counters.allocate(), live=self._initially_live, location=self._locate(spec.host, spec.port)
            )
            self._listed = None
            added.append(backend)
        elif not backend.discovered:
            backend.discovered = True
            added.append(backend)
        elif backend.spec is spec or backend.spec == spec:
            return
        else:
            updated.append(backend)
        backend.describe(spec)
        # RFC 2782 knows no negative numbers.
        backend.ignored = (self._algorithm.weighted and spec.weight < 0) or (self._tiered and spec.priority < 0)
        full = self._values[backend.row] >= backend.limit
        if full != backend.full:
            self._set_full(backend, full)
            if backend.moved is not None:
                backend.moved(backend)

    def _rebuild(self) -> None:
        """Give each tier's algorithm its pickable backends. The algorithm of a tier that goes on stays the same."""
        self._stale = False
        panic = self._panic
        pickable = [
            b
            for b in self.backends
            if (b.live or panic) and b.discovered and not (b.held or b.ignored) and b.sockaddr is not None
        ]
        members: dict[int, list[Backend]] = {}
        if self._tiered:
            for backend in pickable:
                members.setdefault(backend.priority, []).append(backend)
        elif pickable:
            members[0] = pickable
        before, self._tiers = self._tiers, {}
        for tier in before.values():
            if tier.moved is not None:
                for backend in tier.backends:
                    backend.moved = None
        for priority in sorted(members):
            tier = self._tiers[priority] = before.get(priority) or self._algorithm(self._values)
            tier.rebuild(tuple(members[priority]))
            if tier.moved is not None:
                for backend in tier.backends:
                    backend.moved = tier.moved
        self._choose = next((tier.choose for tier in self._tiers.values()), _nobody)


def _batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch


def _warn_of_ignored(ignored: Sequence[Backend]) -> None:
    if ignored:
        log.warning(
            "ignoring %d backends with a negative weight or priority, the first is %s", len(ignored), ignored[0].address
        )


_NOBODY = Backend(BackendSpec("nobody", 0), row=0)
_NOBODY.full = True


def _nobody(client: str) -> Backend:
    """The choice where there is none: a backend that is always full, which saves `acquire` a check."""
    return _NOBODY
