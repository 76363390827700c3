"""The backends of one server, and the pick among them."""

from collections.abc import Callable, Container, Generator, Iterable, Iterator
from itertools import chain
from typing import Any
from weakref import WeakSet

from balancer.backend import Backend, BackendSpec
from balancer.counters import RX, TX, Counters
from balancer.registry import load
from balancer.roster import Change, Locate, Roster, batches
from balancer.tiers import Tiers


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
        locate: the address of a new backend that needs no look-up. Others wait for `set_resolved`.

    Attributes:
        retired_rx, retired_tx: bytes from and to backends that are listed no more: what the pool has moved is this and
            the sum over `backends`.
        pickable: the backends that may be picked, as of the last `state`.
        parts: tiers over some of them, which hear of what happens to those for as long as somebody has them.

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
        locate: Locate = lambda host, port: None,
    ) -> None:
        self._algorithm = load(algorithm)
        self.counters = counters
        self._values = counters.values
        self._tiered = priority_tiers or self._algorithm.tiered
        self._roster = Roster(counters, locate, live=initially_live)
        self._tiers = Tiers(self._values)
        self._choose: Callable[[str], Backend] = self._tiers.choose
        self._state = 0
        self.pickable: list[Backend] = []
        self.parts: WeakSet[Tiers] = WeakSet()
        self._parted = False  # asking an empty WeakSet takes a microsecond
        self._stale = False
        self._panic = False
        self.retired_rx = self.retired_tx = 0

    @property
    def backends(self) -> tuple[Backend, ...]:
        """All that are listed, sorted by address: the discovered ones, and gone ones with open connections."""
        return self._roster.backends

    def find(self, host: str, port: int) -> Backend | None:
        """The listed backend with this host and port."""
        return self._roster.find(host, port)

    @property
    def initially_live(self) -> bool:
        """The verdict on a new backend until health checks give theirs."""
        return self._roster.live

    @initially_live.setter
    def initially_live(self, live: bool) -> None:
        self._roster.live = live

    # The data plane's side: once per connection, so written for speed. ACTIVE is column 0 of a row.

    def acquire(self, client: str, tried: Container[Backend] = ()) -> Backend | None:
        """Pick a backend and count a connection as open there; None when there is none to pick.

        Args:
            client: the peer's IP as accept() gave it, "" over a UNIX socket; "IP#port" where its port counts too.
            tried: backends this connection has failed at.
        """
        if self._stale:
            self._rebuild()
        backend = self._choose(client)
        if backend.full or backend in tried:
            other = self._tiers.choose_other(client, tried)
            if other is None:
                return None
            backend = other
        # What `count` does, written out: this is once per connection.
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

    def updating(self, specs: Iterable[BackendSpec]) -> Generator[None, None, Change]:
        """The answer of discovery is now this. Of duplicates (same host and port) the first counts.

        Known backends keep their counters and health. One that is gone takes no new connections and stays listed
        until its last one ends; one that comes back before that is the same object.

        It yields about every millisecond, for other work to be done in between, except for another update. New
        backends are listed little by little, but picks go over from the older answer to this one in a single step. It
        may be abandoned: the next update then finds out what is left to do.
        """
        try:
            change = yield from self._roster.describe(specs, self._inspect)
        except GeneratorExit:
            self._stale = True
            raise
        if change:
            self._stale = True
            yield
        if self._stale:
            self._rebuild()
        for some in batches([backend for backend in self._roster if not backend.discovered]):
            yield
            for backend in some:
                if not self._values[backend.row]:
                    self._forget(backend)
        return change

    def set_algorithm(self, algorithm: str, *, priority_tiers: bool = False) -> None:
        """Pick in another way from now on; arguments and errors are those of the constructor.

        Backends, their counters, health and open connections stay as they are.
        """
        self._algorithm = load(algorithm)
        self._tiered = priority_tiers or self._algorithm.tiered
        for backend in self._roster:
            self._inspect(backend)
        self._stale = True

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
        for backend in self._roster:
            rx, tx = values[backend.row + RX], values[backend.row + TX]
            backend.rx_second = round((rx - backend.rx_seen) / seconds)
            backend.tx_second = round((tx - backend.tx_seen) / seconds)
            backend.rx_seen = rx
            backend.tx_seen = tx
        for tiers in self._tiers, *self.parts:
            tiers.tick()

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
        return chain.from_iterable(tiers.pending() for tiers in (self._tiers, *self.parts))

    # For parts of the pool, see sni.py. Without any they cost nothing.

    def state(self) -> int:
        """A number that is another one after every change of `pickable`."""
        if self._stale:
            self._rebuild()
        return self._state

    def build(self, tiers: Tiers, members: list[Backend]) -> None:
        """Fill tiers as the pool's own are."""
        self._parted = self._parted or tiers is not self._tiers
        tiers.build(members, self._algorithm, tiered=self._tiered)

    def count(self, backend: Backend) -> None:
        """A connection is open there."""
        active = self._values[backend.row] + 1
        self._values[backend.row] = active
        if active >= backend.limit:
            self._set_full(backend, True)
        moved = backend.moved
        if moved is not None:
            moved(backend)

    def _set_full(self, backend: Backend, full: bool) -> None:
        backend.full = full
        self._tiers.full_changed()
        if self._parted:
            for part in self.parts:
                part.full_changed()

    def _forget(self, backend: Backend) -> None:
        """Take off who is gone for good; nothing when that was done already."""
        if self._roster.remove(backend):
            self.retired_rx += self._values[backend.row + RX]
            self.retired_tx += self._values[backend.row + TX]

    def _inspect(self, backend: Backend) -> None:
        """Look at a new spec: a changed limit may make a backend full, a negative number takes it out."""
        spec = backend.spec  # RFC 2782 knows no negative numbers
        backend.ignored = (self._algorithm.weighted and spec.weight < 0) or (self._tiered and spec.priority < 0)
        full = self._values[backend.row] >= backend.limit
        if full != backend.full:
            self._set_full(backend, full)
            if backend.moved is not None:
                backend.moved(backend)

    def _rebuild(self) -> None:
        """Give each tier's algorithm its pickable backends. A tier that was there keeps its algorithm's state."""
        self._stale = False
        self._state += 1
        panic = self._panic
        self.pickable = [
            b
            for b in self.backends
            if (b.live or panic) and b.discovered and not (b.held or b.ignored) and b.sockaddr is not None
        ]
        self._tiers.leave()
        self.build(self._tiers, self.pickable)
        self._choose = self._tiers.choose
