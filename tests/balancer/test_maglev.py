"""Maglev's lookup table."""

from collections import Counter
from collections.abc import Generator
from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import BackendSpec, Counters, Pool
from balancer.maglev import SIZES, fill, table_size
from tests.balancer import pools
from tests.balancer.pools import clients, named, pick, ready, resolve, set_specs, settle, specs

CLIENTS = clients(5000)
names = st.lists(st.text(max_size=12), min_size=1, max_size=20, unique=True)
primes = st.sampled_from([23, 101, 251, 1009])


def filled(work: Generator[None, None, list[int]]) -> list[int]:
    while True:
        try:
            next(work)
        except StopIteration as done:
            return list(done.value)


def as_in_the_paper(names: list[str], size: int) -> list[int]:
    """Pseudocode 1, with whole permutations."""
    permutations = []
    for name in names:
        digest = int.from_bytes(blake2b(name.encode(), digest_size=16).digest(), "big")
        offset, skip = digest % size, (digest >> 64) % (size - 1) + 1
        permutations.append([(offset + j * skip) % size for j in range(size)])
    entry = [-1] * size
    preferences = [iter(permutation) for permutation in permutations]
    while True:
        for index, preference in enumerate(preferences):
            entry[next(slot for slot in preference if entry[slot] < 0)] = index
            if -1 not in entry:
                return entry


@settings(max_examples=50, deadline=None)
@given(names=names, size=primes)
def test_the_table_is_the_paper_s(names: list[str], size: int) -> None:
    assert filled(fill(names, [1] * len(names), size)) == as_in_the_paper(names, size)


@settings(max_examples=50, deadline=None)
@given(weights=st.lists(st.integers(1, 10_000), min_size=1, max_size=20), size=primes)
def test_slots_are_shared_out_by_weight(weights: list[int], size: int) -> None:
    """Each has its share of the rounds rounded up; what does not fit in the end may all be missing from one."""
    slots = Counter(filled(fill([str(n) for n in range(len(weights))], weights, size)))
    assert sum(slots.values()) == size
    for index, weight in enumerate(weights):
        exact = size * weight / sum(weights)
        assert slots[index] >= 1
        assert exact - 2 * len(weights) <= slots[index] <= exact + 2


def test_every_table_size_is_prime_and_leaves_five_slots_each() -> None:
    """A step of any length reaches all slots of a prime number of them."""
    assert all(size % divisor for size in SIZES for divisor in range(2, int(size**0.5) + 1))
    assert [table_size(n) for n in (1, 10_000, 13_107, 13_108)] == [65_537, 65_537, 65_537, 655_373]


@pytest.mark.parametrize(("count", "at_most"), [(10, 0.01), (100, 0.01), (1000, 0.01), (10_000, 0.01)])
def test_removal_disrupts_few_others(count: int, at_most: float, capsys: pytest.CaptureFixture[str]) -> None:
    """The share of clients that move though their backend stayed: 0 for an ideal hash, near 1 - 1/n for a modulo."""
    pool = ready("maglev", specs(count))
    before = {client: pick(pool, client) for client in CLIENTS}
    removed = specs(count)[count // 2].address
    set_specs(pool, [spec for spec in specs(count) if spec.address != removed])
    moved = sum(before[client] not in {removed, pick(pool, client)} for client in CLIENTS)
    with capsys.disabled():
        print(
            f"\nmaglev: 1 of {count} backends removed: {moved / len(CLIENTS):.2%} of the other clients moved", end=" "
        )
    assert moved / len(CLIENTS) <= at_most
    assert removed not in {pick(pool, client) for client in CLIENTS}


def test_the_picks_depend_on_the_backends_alone() -> None:
    """Not on what the list was before, so that several balancers agree."""
    pool = ready("maglev", specs(3))
    set_specs(pool, specs(20))
    set_specs(pool, specs(20)[4:])
    fresh = ready("maglev", specs(20)[4:])
    assert [pick(pool, client) for client in CLIENTS] == [pick(fresh, client) for client in CLIENTS]


def test_a_full_or_tried_backend_moves_only_its_own_clients() -> None:
    pool = ready("maglev", specs(10, max_connections=1))
    before = {client: pick(pool, client) for client in CLIENTS}
    full, tried = pool.backends[3], pool.backends[7]
    pools.fill(pool, full)
    after = {client: pick(pool, client, tried=[tried]) for client in CLIENTS}
    own = {client for client, address in before.items() if address in {full.address, tried.address}}
    assert {client for client in CLIENTS if before[client] != after[client]} == own
    assert len({after[client] for client in own}) == 8, "and spreads them over all others"


def test_the_last_of_many_with_room_is_found() -> None:
    pool = ready("maglev", specs(600, max_connections=1))
    last = pool.backends[-1]
    pools.fill(pool, *pool.backends[:-1])
    assert {pick(pool, client) for client in CLIENTS[:50]} == {last.address}


def test_the_older_table_serves_until_the_new_one_is_done() -> None:
    pool = ready("maglev", specs(10))
    before = {client: pick(pool, client) for client in CLIENTS}
    gone, new = pool.backends[0], BackendSpec("10.1.1.1", 80)
    for backend in pool.update([*specs(10)[1:], new]).added:
        resolve(pool, backend)
    steps = pool.pending
    next(steps)
    during = {client: pick(pool, client) for client in CLIENTS}
    moved = {client for client in CLIENTS if before[client] != during[client]}
    assert moved == {client for client in CLIENTS if before[client] == gone.address}
    assert new.address not in during.values()
    for _ in steps:
        pass
    fresh = ready("maglev", [*specs(10)[1:], new])
    assert [pick(pool, client) for client in CLIENTS] == [pick(fresh, client) for client in CLIENTS]


def test_a_change_on_the_way_is_taken_up_by_the_same_work() -> None:
    pool = ready("maglev", specs(10))
    pool.set_live(pool.backends[0], False)
    steps = pool.pending
    next(steps)
    pool.set_live(pool.backends[1], False)
    assert named(pool, pool.backends[1].address).address not in {pick(pool, client) for client in CLIENTS}
    for _ in steps:
        pass
    assert not list(pool.pending)
    fresh = ready("maglev", specs(10)[2:])
    assert [pick(pool, client) for client in CLIENTS] == [pick(fresh, client) for client in CLIENTS]


def test_before_the_first_table_the_list_serves() -> None:
    pool = Pool("maglev", Counters())
    for backend in pool.update(specs(5)).added:
        resolve(pool, backend)
    assert {pick(pool, client) for client in CLIENTS[:200]} == {spec.address for spec in specs(5)}
    settle(pool)
    fresh = ready("maglev", specs(5))
    assert [pick(pool, client) for client in CLIENTS] == [pick(fresh, client) for client in CLIENTS]
