"""The client's hash modulo the list."""

import pytest

from balancer import BackendSpec
from balancer.fnv import client_hash
from tests.balancer.golden import BACKENDS, PICKS
from tests.balancer.pools import clients, fill, pick, ready, specs


@pytest.mark.parametrize(("client", "address"), [(client, iphash) for client, iphash, _ in PICKS])
def test_the_same_backend_as_gobetween(client: str, address: str) -> None:
    assert pick(ready("iphash", BACKENDS), client) == address


def test_a_full_backend_is_as_if_not_listed() -> None:
    """Also for clients of the others, as in gobetween: its limit filters before the algorithm."""
    pool = ready("iphash", specs(7, max_connections=3))
    fill(pool, pool.backends[2], pool.backends[4])
    room = [backend.address for backend in pool.backends if not backend.full]
    assert [pick(pool, c) for c in clients(200)] == [room[client_hash(c) % len(room)] for c in clients(200)]
    for _ in range(3):
        pool.release(pool.backends[2])
    room = [backend.address for backend in pool.backends if not backend.full]
    assert len(room) == 6
    assert [pick(pool, c) for c in clients(200)] == [room[client_hash(c) % len(room)] for c in clients(200)]


def test_a_tried_backend_is_as_if_not_listed() -> None:
    pool = ready("iphash", specs(7))
    for client in clients(50):
        first = pool.backends[client_hash(client) % 7]
        left = [backend.address for backend in pool.backends if backend is not first]
        assert pick(pool, client, tried=[first]) == left[client_hash(client) % 6]


def test_an_ipv4_client_of_a_dual_stack_bind_hashes_as_16_bytes() -> None:
    pool = ready("iphash", [BackendSpec("10.0.0.1", port) for port in range(1, 1000)])
    assert pick(pool, "1.2.3.4") != pick(pool, "::ffff:1.2.3.4")
