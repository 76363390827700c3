"""Backends by server name and protocol: who is meant, and that parts of a pool behave as the pool does."""

import re
from collections import Counter

import pytest

from balancer import ACTIVE, Backend, BackendSpec, Counters, Pool, names
from balancer.sni import PARTS, REMEMBERED, Matcher, ServerNames
from tests.balancer.pools import CLIENT, named, ready, set_specs, settle


def spec(number: int, sni: str = "", alpn: str = "", **values: int) -> BackendSpec:
    return BackendSpec(f"10.0.0.{number}", 80, sni=sni, alpn=alpn, **values)


def compiled(text: str) -> Matcher:
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise ValueError(str(error)) from None
    return lambda name: pattern.search(name) is not None


def hosts(server_names: ServerNames, name: str, *protocols: str, count: int = 12) -> set[str] | None:
    """The last numbers of the backends that a client gets; None when it is rejected."""
    acquire = server_names.pick(name, protocols)
    if acquire is None:
        return None
    found = set()
    for _ in range(count):
        backend = acquire(CLIENT, ())
        if backend is not None:
            found.add(backend.host.rpartition(".")[2])
            server_names.pool.release(backend)
    return found


SPECS = [
    spec(1, "a.example.com"),
    spec(2, "A.Example.com"),
    spec(3, "b.example.com,c.example.com"),
    spec(4, "*.example.com"),
    spec(5, "*.deep.example.com"),
    spec(6),
    spec(7, "*.example.org,example.org"),
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a.example.com", {"1", "2"}),
        ("a.EXAMPLE.com", {"1", "2"}),
        ("b.example.com", {"3"}),
        ("c.example.com", {"3"}),
        ("d.example.com", {"4"}),
        ("x.a.example.com", {"4"}),
        ("x.deep.example.com", {"5"}),
        ("deep.example.com", {"4"}),
        ("example.org", {"7"}),
        ("www.example.org", {"7"}),
        ("example.com", {"6"}),
        ("com", {"6"}),
        ("*.example.net", {"6"}),
        (".", {"6"}),
        ("", {"6"}),
    ],
)
def test_the_exact_name_wins_then_the_longest_wildcard_then_those_without(name: str, expected: set[str]) -> None:
    assert hosts(ServerNames(ready("roundrobin", SPECS), "default"), name) == expected


@pytest.mark.parametrize("name", ["other.net", ""])
@pytest.mark.parametrize(
    ("unexpected", "expected"), [("default", {"6"}), ("reject", None), ("any", {"1", "2", "3", "4", "5", "6", "7"})]
)
def test_who_means_no_backend_gets_what_the_strategy_says(
    name: str, unexpected: str, expected: set[str] | None
) -> None:
    assert hosts(ServerNames(ready("roundrobin", SPECS), unexpected), name) == expected


def test_without_backends_for_others_these_get_none() -> None:
    server_names = ServerNames(ready("roundrobin", SPECS[:2]), "default")
    assert hosts(server_names, "other.net") == set()
    assert hosts(server_names, "") == set()


def test_patterns_match_anywhere_in_the_name() -> None:
    pool = ready("roundrobin", [spec(1, r"^api\d+\."), spec(2, r"example\.com$"), spec(3, "("), spec(4)])
    server_names = ServerNames(pool, "default", compiled)
    assert hosts(server_names, "api1.example.com") == {"1", "2"}
    assert hosts(server_names, "api1.example.net") == {"1"}
    assert hosts(server_names, "www.example.com") == {"2"}
    assert hosts(server_names, "www.example.net") == {"4"}
    assert hosts(server_names, "(") == {"4"}


def test_a_client_whose_backends_are_down_gets_none_of_another_name() -> None:
    pool = ready("roundrobin", SPECS)
    server_names = ServerNames(pool, "any")
    for number in 1, 2:
        pool.set_live(named(pool, f"10.0.0.{number}:80"), False)
    assert hosts(server_names, "a.example.com") == set()
    pool.set_live(named(pool, "10.0.0.2:80"), True)
    assert hosts(server_names, "a.example.com") == {"2"}


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        (["h2", "http/1.1"], {"1"}),
        (["http/1.1", "h2"], {"2"}),
        (["http/1.0", "h2"], {"1"}),
        (["x"], {"3"}),
        ([], {"3"}),
    ],
)
def test_of_the_protocols_that_a_client_offers_the_first_that_there_is_decides(
    offered: list[str], expected: set[str]
) -> None:
    specs = [spec(1, "a.com", "h2"), spec(2, "a.com", "http/1.1,x2"), spec(3, "a.com"), spec(4)]
    assert hosts(ServerNames(ready("roundrobin", specs), "default"), "a.com", *offered) == expected


def test_protocols_without_names() -> None:
    server_names = ServerNames(ready("roundrobin", [spec(1, "", "acme-tls/1"), spec(2)]), "default")
    assert hosts(server_names, "any.com", "acme-tls/1") == {"1"}
    assert hosts(server_names, "any.com", "h2") == {"2"}
    assert hosts(server_names, "") == {"2"}


def test_a_protocol_that_no_backend_of_the_name_has_is_unexpected() -> None:
    specs = [spec(1, "a.com", "h2"), spec(2)]
    assert hosts(ServerNames(ready("roundrobin", specs), "default"), "a.com", "http/1.1") == {"2"}
    assert hosts(ServerNames(ready("roundrobin", specs), "reject"), "a.com", "http/1.1") is None


def test_names_follow_discovery() -> None:
    pool = ready("roundrobin", SPECS)
    server_names = ServerNames(pool, "default")
    assert hosts(server_names, "new.net") == {"6"}
    set_specs(pool, [*SPECS, spec(8, "new.net")])
    assert hosts(server_names, "new.net") == {"8"}
    set_specs(pool, [spec(8, "new.net"), spec(6)])
    assert hosts(server_names, "a.example.com") == {"6"}
    set_specs(pool, [spec(8, "renamed.net"), spec(6)])
    assert hosts(server_names, "renamed.net") == {"8"}
    assert hosts(server_names, "new.net") == {"6"}


def test_a_choice_that_a_connection_holds_outlives_a_change() -> None:
    """Between two attempts of one client discovery may come up with something else."""
    pool = ready("roundrobin", SPECS)
    acquire = ServerNames(pool, "default").pick("b.example.com")
    assert acquire is not None
    set_specs(pool, [spec(6)])
    assert acquire(CLIENT, ()) is None


def test_tried_and_full_backends_are_passed_over() -> None:
    pool = ready("roundrobin", [spec(1, "a.com", max_connections=1), spec(2, "a.com", max_connections=2), spec(3)])
    acquire = ServerNames(pool, "default").pick("a.com")
    assert acquire is not None
    first, second = (named(pool, f"10.0.0.{number}:80") for number in (1, 2))
    assert acquire(CLIENT, (first,)) is second
    assert acquire(CLIENT, (first, second)) is None
    assert {acquire(CLIENT, ()), acquire(CLIENT, ())} == {first, second}
    assert acquire(CLIENT, ()) is None
    pool.release(first)
    assert acquire(CLIENT, ()) is first


@pytest.mark.parametrize("algorithm", names())
def test_every_algorithm_keeps_to_the_name_and_counts(algorithm: str) -> None:
    """Overlapping parts, the whole pool, priorities, changes: nobody gets another's backend, every count adds up."""
    specs = [
        spec(n, ("a.com", "b.com", "a.com,b.com", "")[n % 4], max_connections=3, priority=1 + n % 2) for n in range(16)
    ]
    pool = ready(algorithm, specs, priority_tiers=True)
    server_names = ServerNames(pool, "any")
    meant = {"a.com": {0, 2}, "b.com": {1, 2}, "other": {0, 1, 2, 3}}
    opened: list[Backend] = []
    for turn in range(600):
        name = ("a.com", "b.com", "other")[turn % 3]
        acquire = server_names.pick(name)
        assert acquire is not None
        backend = acquire(f"192.0.2.{turn % 200}", ())
        if backend is None:
            assert all(b.full or not b.live for b in pool.backends if int(b.host[7:]) % 4 in meant[name])
        else:
            assert int(backend.host[7:]) % 4 in meant[name]
            assert backend.live
            opened.append(backend)
        if len(opened) > 40:
            for done in opened[:20]:
                pool.release(done)
            del opened[:20]
        if turn % 50 == 0:
            victim = pool.backends[turn // 50]
            pool.set_live(victim, not victim.live)
        if turn % 7 == 0:
            pool.tick(1)
            settle(pool)
    counts = Counter(opened)
    assert all(pool.counters.values[b.row + ACTIVE] == counts[b] for b in pool.backends)
    assert opened


def test_the_fewest_connections_count_over_all_parts() -> None:
    """A backend of two names has the connections of both."""
    pool = ready("leastconn", [spec(1, "a.com"), spec(2, "a.com,b.com"), spec(3, "b.com")])
    server_names = ServerNames(pool, "default")
    a, b = server_names.pick("a.com"), server_names.pick("b.com")
    assert a is not None
    assert b is not None
    taken = Counter(backend.host for _ in range(10) for acquire in (a, b) if (backend := acquire(CLIENT, ())))
    assert sorted(taken.values()) == [6, 7, 7]


def test_what_clients_make_up_costs_bounded_memory() -> None:
    specs = [spec(number, f"{chr(97 + number)}") for number in range(12)]
    server_names = ServerNames(ready("roundrobin", specs), "default", compiled)
    for number in range(3 * REMEMBERED):
        picked = server_names.pick("".join(chr(97 + bit) for bit in range(12) if number >> bit & 1) + f"-{number}")
        assert picked is not None
    assert len(server_names._answers) <= REMEMBERED
    assert len(server_names._parts) <= PARTS
    assert len(server_names.pool.parts) == len(server_names._parts)


def test_a_pool_without_names_has_no_parts() -> None:
    pool = Pool("weight", Counters())
    set_specs(pool, SPECS)
    assert pool.acquire(CLIENT) is not None
    assert not pool.parts
