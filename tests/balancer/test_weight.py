"""Random by weight."""

import dataclasses
import logging
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import BackendSpec
from tests.balancer.pools import clients, fill, named, pick, picks, ready, set_specs, specs, weighted

PICKS = 4000


@settings(max_examples=25, deadline=None)
@given(weights=st.lists(st.integers(0, 1000), min_size=1, max_size=8).filter(any), seed=st.integers(0, 2**32))
@pytest.mark.parametrize("algorithm", ["weight", "p2c"])
def test_shares_converge_to_the_weights(algorithm: str, weights: list[int], seed: int) -> None:
    """Within six standard deviations of a binomial share, and six for rare ones; p2c draws alike on an idle pool."""
    random.seed(seed)
    pool = ready(algorithm, weighted(*weights))
    seen = picks(pool, PICKS)
    for backend, weight in zip(pool.backends, weights, strict=True):
        share = weight / sum(weights)
        assert abs(seen[backend.address] - PICKS * share) <= 6 * (PICKS * share * (1 - share)) ** 0.5 + 6


def test_weights_all_zero_are_equal_odds() -> None:
    random.seed(1)
    seen = picks(ready("weight", weighted(0, 0, 0, 0)), PICKS)
    assert len(seen) == 4
    assert all(abs(count - PICKS / 4) <= 6 * (PICKS * 3 / 16) ** 0.5 for count in seen.values())


@pytest.mark.parametrize("algorithm", ["weight", "p2c", "maglev"])
def test_weight_zero_waits_until_no_other_is_left(algorithm: str) -> None:
    pool = ready(algorithm, weighted(0, 5, 0, 1))
    spare = {pool.backends[0].address, pool.backends[2].address}
    others = [backend for backend in pool.backends if backend.weight]
    assert not {pick(pool, client) for client in clients(500)} & spare
    assert {pick(pool, client, tried=others) for client in clients(100)} == spare
    for backend in others:
        pool.set_live(backend, False)
    assert {pick(pool, client) for client in clients(100)} == spare


def test_only_the_lowest_numbered_priority_serves() -> None:
    near, far = BackendSpec("10.0.0.1", 80, priority=1), BackendSpec("10.0.0.2", 80, weight=100, priority=2)
    assert picks(ready("weight", [far, near]), 100) == {"10.0.0.1:80": 100}


def test_the_next_priority_serves_while_the_lower_is_full_tried_or_dead() -> None:
    near, far = BackendSpec("10.0.0.1", 80, max_connections=1), BackendSpec("10.0.0.2", 80, priority=2)
    pool = ready("weight", [near, far])
    backend = named(pool, near.address)
    fill(pool, backend)
    assert pick(pool) == far.address
    pool.release(backend)
    assert pick(pool) == near.address
    assert pick(pool, tried=[backend]) == far.address
    pool.set_live(backend, False)
    assert pick(pool) == far.address
    pool.set_live(backend, True)
    assert pick(pool) == near.address


@pytest.mark.parametrize("bad", [BackendSpec("10.0.0.2", 80, weight=-1), BackendSpec("10.0.0.2", 80, priority=-1)])
def test_a_negative_number_takes_a_backend_out_with_one_warning(
    bad: BackendSpec, caplog: pytest.LogCaptureFixture
) -> None:
    good = BackendSpec("10.0.0.1", 80)
    with caplog.at_level(logging.WARNING, "pygobetween.balancer"):
        pool = ready("weight", [good, bad])
        set_specs(pool, [good, dataclasses.replace(bad)])
    assert [record.getMessage() for record in caplog.records] == [
        "ignoring 1 backends with a negative weight or priority, the first is 10.0.0.2:80"
    ]
    assert picks(pool, 50) == {"10.0.0.1:80": 50}
    set_specs(pool, [BackendSpec("10.0.0.2", 80)])
    assert picks(pool, 50) == {"10.0.0.2:80": 50}


def test_full_backends_leave_the_odds_of_the_others_as_they_are() -> None:
    random.seed(2)
    pool = ready("weight", weighted(90, 1, 3))
    wanted = [BackendSpec(b.host, b.port, b.weight, max_connections=int(b.weight == 90)) for b in pool.backends]
    set_specs(pool, wanted)
    fill(pool, next(backend for backend in pool.backends if backend.weight == 90))
    seen = picks(pool, PICKS)
    assert sum(seen.values()) == PICKS
    assert abs(seen[pool.backends[1].address] - PICKS / 4) <= 6 * (PICKS * 3 / 16) ** 0.5


def test_the_last_of_many_with_room_is_found() -> None:
    pool = ready("weight", specs(300, max_connections=1))
    last = pool.backends[123]
    fill(pool, *(backend for backend in pool.backends if backend is not last))
    assert pick(pool) == last.address
    fill(pool, last)
    assert pick(pool) is None
