"""The least traffic."""

from balancer import RX, TX, BackendSpec, Counters, Pool
from tests.balancer.pools import fill, pick, picks, resolve, set_specs, specs


def pool_with_traffic(*rates: tuple[int, int], max_connections: int = 0) -> tuple[Pool, Counters]:
    """Backends that received and sent so many bytes in the second before the tick."""
    counters = Counters()
    pool = Pool("leastbandwidth", counters)
    for backend in pool.update(specs(len(rates), max_connections=max_connections)).added:
        resolve(pool, backend)
    for backend, rate in zip(pool.backends, rates, strict=True):
        counters.values[backend.row + RX] += rate[0]
        counters.values[backend.row + TX] += rate[1]
    pool.tick(1)
    return pool, counters


def test_the_sum_of_both_directions_counts() -> None:
    pool, _ = pool_with_traffic((0, 100), (60, 30), (100, 0))
    assert picks(pool, 5) == {pool.backends[1].address: 5}


def test_equal_ones_take_turns_across_ticks_and_changes() -> None:
    pool, _ = pool_with_traffic((5, 0), (0, 0), (0, 0), (0, 0))
    first = pick(pool)
    pool.tick(1)
    others = {pick(pool) for _ in range(3)}
    assert others == {backend.address for backend in pool.backends} - {first}
    set_specs(pool, specs(5))
    assert pick(pool) == first, "it has waited longest now"


def test_a_tick_ranks_anew() -> None:
    pool, counters = pool_with_traffic((10, 0), (20, 0))
    first, second = pool.backends
    assert pick(pool) == first.address
    counters.values[first.row + RX] += 1000
    pool.tick(1)
    assert pick(pool) == second.address


def test_rates_are_bytes_per_second() -> None:
    pool, counters = pool_with_traffic((10, 20))
    (backend,) = pool.backends
    assert (backend.rx_second, backend.tx_second) == (10, 20)
    counters.values[backend.row + RX] += 300
    pool.tick(2)
    assert (backend.rx_second, backend.tx_second) == (150, 0)


def test_a_full_or_tried_one_leaves_it_to_the_next() -> None:
    pool, _ = pool_with_traffic((1, 0), (2, 0), (3, 0), max_connections=2)
    one, two, three = pool.backends
    fill(pool, one)
    assert pick(pool) == two.address
    assert pick(pool, tried=[two]) == three.address
    assert pick(pool, tried=[two, three]) is None
    fill(pool, two, three)
    assert pick(pool) is None
    pool.release(two)
    assert pick(pool) == two.address


def test_a_new_backend_takes_part() -> None:
    pool, _ = pool_with_traffic((1, 0))
    set_specs(pool, [*specs(1), BackendSpec("10.9.9.9", 80)])
    assert pick(pool) == "10.9.9.9:80"
