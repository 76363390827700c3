"""A backend that starts slowly: it gets the part of its usual picks that its share says."""

import random

import pytest

from balancer import load, names
from tests.balancer.pools import CLIENT, fill, pick, picks, ready, set_specs, specs, weighted

SHARING = [name for name in names() if load(name).shares]


@pytest.mark.parametrize("algorithm", ["weight", "p2c", "roundrobin"])
@pytest.mark.parametrize("share", [0.05, 0.5])
def test_picks_follow_the_share(algorithm: str, share: float) -> None:
    """Of connections that are over at once, by 3 of 4 backends in full and 1 in part."""
    random.seed(5)
    pool = ready(algorithm, specs(4))
    slow = pool.backends[1]
    pool.set_share(slow, share)
    assert picks(pool, 20_000)[slow.address] / 20_000 == pytest.approx(share / (3 + share), rel=0.15)
    pool.set_share(slow, 1.0)
    assert picks(pool, 20_000)[slow.address] / 20_000 == pytest.approx(1 / 4, rel=0.1)


@pytest.mark.parametrize("algorithm", ["weight", "p2c"])
def test_a_share_is_one_of_the_weight(algorithm: str) -> None:
    random.seed(5)
    pool = ready(algorithm, weighted(10, 30))
    light, heavy = pool.backends
    pool.set_share(heavy, 0.1)
    assert picks(pool, 20_000)[light.address] / 20_000 == pytest.approx(10 / 13, rel=0.05)


def test_leastconn_holds_it_to_its_share_of_open_connections() -> None:
    """Without shares a backend that returns empty would get every new connection until it has as many as the others."""
    pool = ready("leastconn", specs(3))
    a, b, slow = pool.backends
    pool.set_live(slow, False)
    for _ in range(80):
        pool.acquire(CLIENT)
    pool.set_live(slow, True)
    held = []
    for share in (0.1, 0.25, 0.5, 1.0):
        pool.set_share(slow, share)
        for _ in range(200):
            pool.acquire(CLIENT)
        active = {backend: pool._values[backend.row] for backend in pool.backends}
        assert abs(active[a] - active[b]) <= 1
        held.append(active[slow] / active[a])
    assert held == pytest.approx([0.1, 0.25, 0.5, 1.0], rel=0.1)


def test_leastconn_finds_the_least_again_when_one_jumped_over_others() -> None:
    """With a share of 1/10 one connection counts as ten."""
    pool = ready("leastconn", specs(3))
    a, b, slow = pool.backends
    pool.set_share(slow, 0.1)
    assert [pool.acquire(CLIENT) for _ in range(3)] == [a, b, slow]
    assert {pool.acquire(CLIENT) for _ in range(2)} == {a, b}
    for _ in range(16):
        assert pool.acquire(CLIENT) in (a, b)
    pool.release(slow)
    assert pool.acquire(CLIENT) is slow


def test_roundrobin_goes_on_in_order_while_shares_change() -> None:
    pool = ready("roundrobin", specs(4))
    a, b, c, d = (backend.address for backend in pool.backends)
    slow = pool.backends[0]
    pool.set_share(slow, 1e-9)
    assert [pick(pool) for _ in range(5)] == [b, c, d, b, c]
    pool.set_share(slow, 0.5e-9)
    assert pick(pool) == d
    pool.set_share(slow, 1.0)
    assert [pick(pool) for _ in range(4)] == [a, b, c, d]


@pytest.mark.parametrize("algorithm", names())
def test_whoever_is_left_is_picked_however_small_its_share(algorithm: str) -> None:
    pool = ready(algorithm, specs(3, max_connections=1))
    slow, *others = pool.backends
    pool.set_share(slow, 1e-9)
    fill(pool, *others)
    assert pick(pool) == slow.address
    assert pick(pool, tried=[slow]) is None
    set_specs(pool, specs(1))
    assert pick(pool) == slow.address


def test_all_may_have_small_shares() -> None:
    for algorithm in SHARING:
        pool = ready(algorithm, specs(2))
        for backend in pool.backends:
            pool.set_share(backend, 1e-9)
        assert sorted(filter(None, picks(pool, 200))) == [backend.address for backend in pool.backends]


def test_which_algorithms_have_shares() -> None:
    assert sorted(SHARING) == ["leastconn", "p2c", "roundrobin", "weight"]
