"""The power of two choices."""

import random

from balancer import Backend
from tests.balancer.pools import CLIENT, fill, pick, picks, ready, specs, weighted


def test_of_two_the_less_loaded() -> None:
    pool = ready("p2c", specs(2))
    busy, idle = pool.backends
    assert pool.acquire(CLIENT, [idle]) is busy
    assert picks(pool, 200) == {idle.address: 200}


def test_load_counts_for_its_weight() -> None:
    """Three connections on a weight of 10 are fewer than one on a weight of 1."""
    pool = ready("p2c", weighted(10, 1))
    strong, weak = pool.backends
    for _ in range(3):
        assert pool.acquire(CLIENT, [weak]) is strong
    assert pool.acquire(CLIENT, [strong]) is weak
    assert picks(pool, 200) == {strong.address: 200}


def test_open_connections_spread_far_more_evenly_than_by_chance() -> None:
    """The longest queue is about log log n above the mean (Mitzenmacher); one choice would leave it some sqrt above."""
    random.seed(3)
    pool = ready("p2c", specs(100))
    active: dict[Backend | None, int] = dict.fromkeys(pool.backends, 0)
    for _ in range(10_000):
        active[pool.acquire(CLIENT)] += 1
    assert max(active.values()) <= 100 + 6
    assert None not in active


def test_all_but_one_full() -> None:
    pool = ready("p2c", specs(50, max_connections=1))
    fill(pool, *pool.backends[1:])
    assert pick(pool) == pool.backends[0].address
    assert pick(pool, tried=pool.backends[:1]) is None
