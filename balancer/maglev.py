"""Consistent hashing by Maglev's lookup table (Eisenbud et al., "Maglev", NSDI 2016, section 3.4)."""

from array import array
from collections import defaultdict
from collections.abc import Container, Generator, Iterator, Sequence
from hashlib import blake2b
from itertools import chain, count, cycle, islice
from math import isqrt

from balancer.algorithm import Algorithm
from balancer.backend import Backend
from balancer.fnv import client_hash
from balancer.weight import effective_weights

SIZES = (65_537, 655_373, 6_553_577)
"""Table sizes, primes. The paper's two come first; the smallest that gives each backend SLOTS_EACH is taken."""
SLOTS_EACH = 5
STEP = 10_000
"""Slots that `fill` looks at between two yields: about a millisecond."""
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
        """Fill tables until one is as wanted. One under way is finished, or with many changes none ever would be."""
        while self._built != self._wanted:
            wanted = self._wanted
            addresses = [backend.address for backend, _ in wanted]
            table = yield from fill(addresses, [weight for _, weight in wanted], table_size(len(wanted)))
            self._built, self._owners, self._table = wanted, [backend for backend, _ in wanted], table
        self._building = None


def table_size(backends: int) -> int:
    """The slots of a table for so many backends. Most clients move where it grows: above 13,107 and 131,074."""
    return next((size for size in SIZES if size >= SLOTS_EACH * backends), SIZES[-1])


def fill(names: Sequence[str], weights: Sequence[int], size: int) -> Generator[None, None, list[int]]:
    """The lookup table: for each of `size` slots, a prime number of them, the index of the name it belongs to.

    Args:
        names: what the preferences are derived from, all different.
        weights: of each name, above 0.

    Yields:
        about every millisecond.
    """
    first: list[int] = []
    skip: list[int] = []
    for index, name in enumerate(names):
        digest = int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "big")
        first.append(digest % size)
        skip.append((digest >> 64) % (size - 1) + 1)
        if index % 1000 == 999:
            yield
    turns = cycle(range(len(weights))) if min(weights) == max(weights) else _turns(weights)

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
            pause = free - max(1, STEP // (size // free + 4))  # a turn: size / free looks, and as much as four besides
            yield
        if free <= few:
            break

    # So few slots left, it is faster to ask each how early it comes in the order of the one whose turn it is.
    left: list[int] = []
    for start in range(0, size, STEP):
        left += [slot for slot, index in enumerate(table[start : start + STEP], start) if index < 0]
        yield
    for index in islice(turns, free):
        start, inverse = first[index], pow(skip[index], -1, size)
        slot = min(left, key=lambda slot: (slot - start) * inverse % size)
        left.remove(slot)
        table[slot] = index
        yield
    return table


def _turns(weights: Sequence[int]) -> Iterator[int]:
    """Whose turn it is, without end: round by round, the heaviest in each, one half as heavy in every other."""
    heaviest = max(weights)
    taken = [0] * len(weights)
    due = defaultdict(list, {0: list(range(len(weights)))})
    for number in count():
        for index in sorted(due.pop(number, ())):
            yield index
            taken[index] += 1
            due[taken[index] * heaviest // weights[index]].append(index)
