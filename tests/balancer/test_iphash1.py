"""The highest hash of client and backend."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import BackendSpec
from balancer.fnv import client_bytes, fnv1a
from tests.balancer.golden import BACKENDS, PICKS
from tests.balancer.pools import clients, fill, named, pick, ready, set_specs, specs

hosts = st.text(st.characters(codec="utf-8", exclude_characters=":"), min_size=1, max_size=20)
lists = st.lists(st.tuples(hosts, st.integers(1, 65535)), min_size=1, max_size=12, unique=True)


@pytest.mark.parametrize(("client", "address"), [(client, iphash1) for client, _, iphash1 in PICKS])
def test_the_same_backend_as_gobetween(client: str, address: str) -> None:
    assert pick(ready("iphash1", BACKENDS), client) == address


@settings(deadline=None)
@given(backends=lists, client=st.ip_addresses())
def test_hashing_all_at_once_is_hashing_one_by_one(backends: list[tuple[str, int]], client: object) -> None:
    data = client_bytes(str(client))
    pool = ready("iphash1", [BackendSpec(host, port) for host, port in backends])
    hashes = {backend.address: fnv1a(data + backend.address.encode()) for backend in pool.backends}
    picked = pick(pool, str(client))
    assert picked is not None
    assert hashes[picked] == max(hashes.values())


def test_a_hash_of_zero_is_the_lowest_but_is_picked() -> None:
    """gobetween finds nobody then, and drops the client."""
    client, alone = "213.13.122.105", BackendSpec("10.0.0.1", 80)
    assert fnv1a(client_bytes(client) + alone.address.encode()) == 0
    assert pick(ready("iphash1", [alone]), client) == alone.address
    assert pick(ready("iphash1", [alone, BackendSpec("10.0.0.2", 80)]), client) == "10.0.0.2:80"


@settings(max_examples=20, deadline=None)
@given(count=st.integers(2, 40), gone=st.integers(0))
def test_removal_moves_only_the_clients_of_the_removed(count: int, gone: int) -> None:
    wanted = specs(count)
    removed = wanted.pop(gone % count).address
    pool = ready("iphash1", specs(count))
    before = {client: pick(pool, client) for client in clients(300)}
    set_specs(pool, wanted)
    after = {client: pick(pool, client) for client in clients(300)}
    assert {client for client in before if before[client] != after[client]} == {
        client for client, address in before.items() if address == removed
    }


def test_a_full_backend_moves_only_its_own_clients() -> None:
    pool, less = ready("iphash1", specs(9, max_connections=1)), ready("iphash1", specs(9)[1:])
    before = {client: pick(pool, client) for client in clients(300)}
    full = named(pool, specs(1)[0].address)
    fill(pool, full)
    assert {client: pick(pool, client) for client in clients(300)} == {client: pick(less, client) for client in before}
    pool.release(full)
    assert {client: pick(pool, client) for client in clients(300)} == before
