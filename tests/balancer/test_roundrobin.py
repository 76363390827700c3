"""One after the other."""

from tests.balancer.pools import fill, pick, ready, set_specs, specs


def test_in_order_of_addresses() -> None:
    """As strings, so that 10.0.0.10 comes before 10.0.0.9."""
    wanted = specs(12)
    pool = ready("roundrobin", reversed(wanted))
    order = sorted(spec.address for spec in wanted)
    assert [pick(pool) for _ in range(24)] == order * 2


def test_it_goes_on_after_the_last_one_when_the_list_changes() -> None:
    a, b, c, d = (spec.address for spec in specs(4))
    pool = ready("roundrobin", specs(3))
    assert [pick(pool), pick(pool)] == [a, b]
    set_specs(pool, specs(4))
    assert pick(pool) == c
    set_specs(pool, specs(4)[1:])
    assert [pick(pool), pick(pool), pick(pool)] == [d, b, c]
    set_specs(pool, specs(2))
    assert [pick(pool), pick(pool)] == [a, b]


def test_full_and_tried_ones_are_passed_over() -> None:
    pool = ready("roundrobin", specs(4, max_connections=1))
    a, b, c, d = pool.backends
    fill(pool, b)
    assert [pick(pool) for _ in range(6)] == [backend.address for backend in (c, d, a, c, d, a)]
    assert pick(pool, tried=[c, d]) == a.address
    assert pick(pool, tried=[a, c, d]) is None
