"""What a pool keeps, and who it lists."""

import logging
import socket

import pytest

from balancer import ACTIVE, RX, TOTAL, TX, Backend, BackendSpec, Change, Counters, Pool, UnknownAlgorithmError
from tests.balancer.pools import CLIENT, fill, named, pick, picks, ready, resolve, set_specs, settle, specs


def test_an_unknown_algorithm_is_refused() -> None:
    with pytest.raises(UnknownAlgorithmError):
        Pool("best", Counters())


def test_an_empty_pool_picks_nobody() -> None:
    pool = Pool("weight", Counters())
    assert pool.acquire(CLIENT) is None
    assert not pool.backends
    set_specs(pool, specs(1))
    set_specs(pool, [])
    assert pool.acquire(CLIENT) is None


def test_a_backend_is_picked_once_it_is_live_and_resolved() -> None:
    pool = Pool("roundrobin", Counters(), initially_live=False)
    (backend,) = pool.update(specs(1)).added
    assert pool.acquire(CLIENT) is None
    resolve(pool, backend)
    assert pool.acquire(CLIENT) is None
    pool.set_live(backend, True)
    assert pool.acquire(CLIENT) is backend
    pool.set_resolved(backend, 0, None)
    assert pool.acquire(CLIENT) is None


def test_a_new_address_of_the_same_host_is_used_at_once() -> None:
    pool = ready("weight", specs(1))
    pool.set_resolved(pool.backends[0], socket.AF_INET6, ("::1", 80, 0, 0))
    backend = pool.acquire(CLIENT)
    assert backend is not None
    assert (backend.family, backend.sockaddr) == (socket.AF_INET6, ("::1", 80, 0, 0))


def test_an_update_keeps_counters_and_health_and_takes_the_new_numbers() -> None:
    counters = Counters()
    pool = Pool("weight", counters)
    (backend,) = pool.update([BackendSpec("a", 1)]).added
    resolve(pool, backend)
    counters.values[backend.row + TOTAL] = 5
    pool.set_live(backend, False)
    spec = BackendSpec("a", 1, weight=3, priority=2, max_connections=9, sni="x")
    assert pool.update([spec]) == Change(updated=(backend,))
    assert (backend.spec, backend.live, counters.values[backend.row + TOTAL]) == (spec, False, 5)


def test_the_same_answer_again_is_no_change() -> None:
    pool = ready("weight", specs(3))
    assert not pool.update(reversed(specs(3)))


def test_of_duplicates_the_first_counts_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "pygobetween.balancer"):
        pool = ready("weight", [BackendSpec("a", 1, weight=weight) for weight in (7, 8, 9)])
    assert [backend.weight for backend in pool.backends] == [7]
    assert [record.getMessage() for record in caplog.records] == ["ignoring 2 duplicate backends, the first is a:1"]


def test_the_list_is_sorted_by_address() -> None:
    pool = ready("weight", [BackendSpec(host, 80) for host in ("b", "10.0.0.9", "10.0.0.10", "a")])
    assert [backend.address for backend in pool.backends] == ["10.0.0.10:80", "10.0.0.9:80", "a:80", "b:80"]


def test_a_gone_backend_leaves_with_its_last_connection() -> None:
    counters = Counters()
    pool = Pool("roundrobin", counters)
    (backend,) = pool.update(specs(1)).added
    resolve(pool, backend)
    for _ in range(2):
        assert pool.acquire(CLIENT) is backend
    assert pool.update([]) == Change(removed=(backend,))
    assert pool.acquire(CLIENT) is None
    assert pool.backends == (backend,)
    pool.release(backend)
    assert pool.backends == (backend,)
    pool.release(backend)
    assert not pool.backends
    assert counters.allocate() == backend.row, "its row is free"


def test_a_gone_backend_without_connections_leaves_at_once() -> None:
    pool = ready("weight", specs(2))
    (stays, _) = pool.backends
    pool.update(specs(1))
    assert pool.backends == (stays,)


def test_a_gone_backend_that_comes_back_is_the_same() -> None:
    pool = ready("weight", specs(1))
    backend = pool.acquire(CLIENT)
    assert backend is not None
    pool.update([])
    assert pool.update(specs(1)) == Change(added=(backend,))
    assert pool.acquire(CLIENT) is backend
    pool.release(backend)
    pool.release(backend)
    assert pool.backends == (backend,)


def test_a_lower_or_higher_limit_counts_for_connections_already_open() -> None:
    pool = ready("weight", specs(1))
    (backend,) = pool.backends
    for _ in range(3):
        pool.acquire(CLIENT)
    set_specs(pool, specs(1, max_connections=2))
    assert backend.full
    pool.release(backend)
    assert pool.acquire(CLIENT) is None, "two are open"
    set_specs(pool, specs(1, max_connections=4))
    assert [pool.acquire(CLIENT) for _ in range(3)] == [backend, backend, None]
    set_specs(pool, specs(1))
    assert pool.acquire(CLIENT) is backend


def test_releasing_more_often_than_acquired_is_an_error() -> None:
    pool = ready("weight", specs(1))
    with pytest.raises(RuntimeError, match="released more often than acquired"):
        pool.release(pool.backends[0])


def test_tiers_are_used_in_order_when_asked_for() -> None:
    wanted = [BackendSpec("a", 1, priority=0), BackendSpec("b", 1, priority=7), BackendSpec("c", 1, priority=7)]
    assert len(picks(ready("roundrobin", wanted), 30)) == 3, "without them priorities do not count"
    pool = ready("roundrobin", wanted, priority_tiers=True)
    assert picks(pool, 30) == {"a:1": 30}
    pool.set_live(named(pool, "a:1"), False)
    assert picks(pool, 30) == {"b:1": 15, "c:1": 15}
    pool.set_live(named(pool, "a:1"), True)
    assert picks(pool, 30) == {"a:1": 30}
    assert pick(pool, tried=pool.backends[:2]) == "c:1"


def test_a_full_tier_leaves_it_to_the_next_but_one() -> None:
    wanted = [BackendSpec(host, 1, priority=n, max_connections=1) for n, host in enumerate("abc")]
    pool = ready("leastconn", wanted, priority_tiers=True)
    fill(pool, *pool.backends[:2])
    assert pick(pool) == "c:1"
    fill(pool, pool.backends[2])
    assert pick(pool) is None


def test_in_panic_health_does_not_matter() -> None:
    """Only health: what is gone or not resolved is not picked then either."""
    pool = ready("roundrobin", specs(3))
    dead, _gone, unresolved = pool.backends
    pool.set_live(dead, False)
    set_specs(pool, [dead.spec, unresolved.spec])
    pool.set_resolved(unresolved, 0, None)
    assert pick(pool) is None
    pool.set_panic(True)
    assert {pick(pool) for _ in range(3)} == {dead.address}
    assert not dead.live
    pool.set_panic(False)
    assert pick(pool) is None


def test_rates_go_on_while_a_backend_drains() -> None:
    counters = Counters()
    pool = Pool("weight", counters)
    (backend,) = pool.update(specs(1)).added
    resolve(pool, backend)
    pool.acquire(CLIENT)
    pool.update([])
    counters.values[backend.row + RX] += 500
    pool.tick(0.5)
    assert backend.rx_second == 1000
    pool.tick(1)
    assert backend.rx_second == 0


def test_many_changes_build_the_tiers_once() -> None:
    """Each of 2,000 verdicts only marks them stale: the tier's algorithm is given its backends at the next pick."""
    pool = ready("leastconn", specs(2000))
    pick(pool)
    algorithm = next(iter(pool._tiers._tiers.values()))
    before = algorithm.backends
    for backend in pool.backends[:-1]:
        pool.set_live(backend, False)
        assert algorithm.backends is before
    assert pick(pool) == pool.backends[-1].address
    assert algorithm.backends == pool.backends[-1:]


@pytest.mark.parametrize("before", ["leastconn", "leastbandwidth", "maglev", "weight"])
@pytest.mark.parametrize("after", ["leastconn", "leastbandwidth", "maglev", "weight"])
def test_the_algorithm_changes_under_open_connections(before: str, after: str) -> None:
    """Backends stay the same objects, with their counters, health, limits and open connections."""
    counters = Counters()
    pool = Pool(before, counters)
    set_specs(pool, specs(4, max_connections=3))
    dead, *listed = pool.backends
    pool.set_live(dead, False)
    opened = [pool.acquire(CLIENT) for _ in range(5)]
    pool.set_algorithm(after)
    settle(pool)
    assert pool.backends == (dead, *listed)
    assert sum(counters.values[backend.row + ACTIVE] for backend in listed) == 5
    opened += [pool.acquire(CLIENT) for _ in range(4)]
    assert dead not in opened
    assert pool.acquire(CLIENT) is None
    for backend in opened:
        assert backend is not None
        pool.release(backend)
    assert sum(counters.values[backend.row + ACTIVE] for backend in listed) == 0


def test_another_algorithm_looks_at_numbers_in_its_own_way() -> None:
    """Priorities and negative weights begin or cease to count."""
    pool = ready("roundrobin", [BackendSpec("a", 1, weight=-1), BackendSpec("b", 1), BackendSpec("c", 1, priority=2)])
    assert picks(pool, 30).keys() == {"a:1", "b:1", "c:1"}
    pool.set_algorithm("weight")
    assert picks(pool, 30) == {"b:1": 30}
    pool.set_algorithm("roundrobin", priority_tiers=True)
    assert picks(pool, 30).keys() == {"a:1", "b:1"}
    pool.set_algorithm("roundrobin")
    assert picks(pool, 30).keys() == {"a:1", "b:1", "c:1"}
    with pytest.raises(UnknownAlgorithmError):
        pool.set_algorithm("best")
    assert picks(pool, 30).keys() == {"a:1", "b:1", "c:1"}


def test_pools_share_counters_but_no_rows() -> None:
    counters = Counters()
    one, two = Pool("weight", counters), Pool("weight", counters)
    backends: list[Backend] = []
    for pool in (one, two):
        for backend in pool.update(specs(1)).added:
            resolve(pool, backend)
            backends.append(backend)
    one.acquire(CLIENT)
    assert [counters.values[backend.row + ACTIVE] for backend in backends] == [1, 0]


def test_what_a_backend_has_moved_is_kept_when_it_is_listed_no_more() -> None:
    """So that a server's totals never go back."""
    counters = Counters()
    pool = Pool("weight", counters)
    (backend,) = pool.update(specs(1)).added
    resolve(pool, backend)
    assert pool.acquire(CLIENT) is backend
    pool.update([])
    counters.values[backend.row + RX], counters.values[backend.row + TX] = 70, 7
    assert (pool.retired_rx, pool.retired_tx) == (0, 0)
    pool.release(backend)
    assert (pool.retired_rx, pool.retired_tx) == (70, 7)
    pool.update(specs(1))
    pool.update([])
    assert (pool.retired_rx, pool.retired_tx) == (70, 7)


def test_a_backend_taken_out_by_hand_gets_nothing_not_even_in_a_panic() -> None:
    pool = ready("roundrobin", specs(2))
    first, second = pool.backends
    pool.set_held(first, True)
    assert picks(pool, 10) == {second.address: 10}
    assert "held" in repr(first)
    pool.set_live(second, False)
    pool.set_panic(True)
    assert picks(pool, 10) == {second.address: 10}
    pool.set_panic(False)
    assert pick(pool) is None
    pool.set_held(first, False)
    assert picks(pool, 10) == {first.address: 10}


def test_a_backend_is_found_for_as_long_as_it_is_listed() -> None:
    pool = ready("weight", specs(2))
    backend = pool.backends[0]
    assert pool.find(*backend.key) is backend
    pool.update([])
    assert pool.find(*backend.key) is None
