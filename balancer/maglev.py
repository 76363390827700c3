"""Consistent hashing by Maglev's lookup table (Eisenbud et al., "Maglev", NSDI 2016, section 3.4)."""

from array import array
from collections.abc import Container, Generator, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, islice
from math import isqrt

from balancer.algorithm import Algorithm
from balancer.backend import Backend
from balancer.fnv import client_hash
from balancer.weight import effective_weights

SIZES = (65_537, 655_373, 6_553_577)
"""Table sizes, primes. The paper's two come first; the smallest that gives each backend SLOTS_EACH is taken."""
SLOTS_EACH = 5
STEP = 10_000
"""Looks at a slot between two yields of `fill`: below a millisecond."""
WALK = 512
"""Slots looked at for a backend that can be had, before all backends are."""


class Maglev(Algorithm):
    """The client's hash names a slot of a table that the backends filled, taking turns, each by its own preference.

    The same backends give the same table whatever happened before, and a change of one of them moves few clients of
    the others. Where the backend of a slot cannot be had, those of the following slots serve: a full backend moves
    only its own clients. A backend of weight w takes w turns where one of weight 1 takes one; weights of 0 are as in
    `weight`.

    Filling the table takes some 30 ms and is left to `pending`. Until that is done the older table serves, past
    backends that can no longer be picked, and before there is one, the plain list.
    """

    weighted = True

    def __init__(self, values: "array[int]") -> None:
        super().__init__(values)
        self._members: set[Backend] = set()
        self._wanted: list[tuple[Backend, int]] = []
        self._built: list[tuple[Backend, int]] = []
        self._owners: Sequence[Backend] = ()
        self._table: Sequence[int] = ()
        self._building: Iterator[None] | None = None

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        weights = effective_weights(backends)
        self._wanted = [(backend, weight) for backend, weight in zip(backends, weights, strict=True) if weight]
        self._members = {backend for backend, _ in self._wanted}
        if not self._built:
            self._owners = [backend for backend, _ in self._wanted]
            self._table = range(len(self._owners))

    def choose(self, client: str) -> Backend:
        table = self._table
        backend = self._owners[table[client_hash(client) % len(table)]]
        if backend in self._members:
            return backend
        return self.choose_other(client, ()) or self.backends[0]

    def choose_other(self, client: str, tried: Container[Backend]) -> Backend | None:
        chosen, table = client_hash(client), self._table
        slot = chosen % len(table)
        for owner in islice(chain(table[slot : slot + WALK], table), WALK):
            backend = self._owners[owner]
            if backend in self._members and not (backend.full or backend in tried):
                return backend
        left = [backend for backend in self.backends if not (backend.full or backend in tried)]
        left = [backend for backend in left if backend.weight] or left
        return left[chosen % len(left)] if left else None

    def pending(self) -> Iterator[None]:
        if self._building is None and self._built != self._wanted:
            self._building = self._build()
        return self._building or iter(())

    def _build(self) -> Iterator[None]:
        """Fill tables until one is as wanted.

        What changes on the way waits for the next: one under way is finished.
        """
        while self._built != self._wanted:
            wanted = self._wanted
            addresses = [backend.address for backend, _ in wanted]
            table = yield from fill(addresses, [weight for _, weight in wanted], table_size(len(wanted)))
            self._built, self._owners, self._table = wanted, [backend for backend, _ in wanted], table
        self._building = None


def table_size(backends: int) -> int:
    """The slots of a table for so many backends.

    Where it grows, most clients move: above 13,107 and 131,074 backends.
    """
    return next((size for size in SIZES if size >= SLOTS_EACH * backends), SIZES[-1])


def fill(names: Sequence[str], weights: Sequence[int], size: int) -> Generator[None, None, list[int]]:
    """The lookup table: for each of `size` slots, a prime number of them, the index of the name it belongs to.

    Args:
        names: what the preferences are derived from, all different.
        weights: of each name, above 0.

    Yields:
        about every millisecond.
    """
    first, skip = [], []
    for index, name in enumerate(names):
        digest = int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "big")
        first.append(digest % size)
        skip.append((digest >> 64) % (size - 1) + 1)
        if index % 1000 == 999:
            yield
    rounds = yield from _rounds(weights, size)
    turns = chain.from_iterable(rounds)

    table, free, at = [-1] * size, size, first.copy()
    few, pause = isqrt(size), size
    for index in turns:
        slot, step = at[index], skip[index]
        while table[slot] >= 0:
            slot += step
            if slot >= size:
                slot -= size
        table[slot] = index
        at[index] = slot
        free -= 1
        if free <= pause:
            pause = free - max(1, STEP * free // size)  # a turn looks at size / free slots
            yield
        if free <= few:
            break

    # So few slots left, it is faster to ask each how early it comes in the order of the one whose turn it is.
    left = [slot for slot, index in enumerate(table) if index < 0]
    for index in islice(turns, free):
        start, inverse = first[index], pow(skip[index], -1, size)
        slot = min(left, key=lambda slot: (slot - start) * inverse % size)
        left.remove(slot)
        table[slot] = index
        yield
    return table


def _rounds(weights: Sequence[int], size: int) -> Generator[None, None, list[list[int]]]:
    """Who takes a turn in each round, for `size` turns or a few more; the heaviest takes one in every round."""
    heaviest, total = max(weights), sum(weights)
    rounds: list[list[int]] = [[] for _ in range(-(-size * heaviest // total))]
    made = 0
    for index, weight in enumerate(weights):
        for turn in range(-(-len(rounds) * weight // heaviest)):
            rounds[turn * heaviest // weight].append(index)
            made += 1
            if made % STEP == 0:
                yield
    return rounds
