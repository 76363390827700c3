"""The fewest open connections."""

from hypothesis import given, settings
from hypothesis import strategies as st

from balancer import Backend
from tests.balancer.pools import CLIENT, fill, ready, set_specs, specs


@settings(deadline=None)
@given(limits=st.lists(st.integers(0, 4), min_size=1, max_size=6), steps=st.lists(st.integers(-20, 20), max_size=80))
def test_always_one_of_those_with_the_fewest(limits: list[int], steps: list[int]) -> None:
    """Against a search of all, with opened (n >= 0) and closed (n < 0) connections, limits and a changing list."""
    wanted = [spec for n, limit in enumerate(limits) for spec in specs(n + 1, max_connections=limit)[n:]]
    pool = ready("leastconn", wanted)
    active = dict.fromkeys(pool.backends, 0)
    open_to: list[Backend] = []
    for step in steps:
        if step < 0 and open_to:
            backend = open_to.pop(step % len(open_to))
            pool.release(backend)
            active[backend] -= 1
        elif step == 20:
            pool.set_live(pool.backends[0], not pool.backends[0].live)
        else:
            room = [b for b in pool.backends if b.live and not b.full]
            chosen = pool.acquire(CLIENT)
            assert (chosen is None) == (not room)
            if chosen is not None:
                assert active[chosen] == min(active[b] for b in room)
                active[chosen] += 1
                open_to.append(chosen)


def test_equal_ones_take_turns() -> None:
    pool = ready("leastconn", specs(5))
    for _ in range(3):
        seen = []
        for _ in range(5):
            backend = pool.acquire(CLIENT)
            assert backend is not None
            pool.release(backend)
            seen.append(backend)
        assert sorted(b.address for b in seen) == [b.address for b in pool.backends]


def test_turns_go_on_after_a_change() -> None:
    """The one that had its turn comes after those that had not, a new one after all."""
    pool = ready("leastconn", specs(3))
    first = pool.acquire(CLIENT)
    assert first is not None
    pool.release(first)
    set_specs(pool, specs(4))
    a, b, c, d = pool.backends
    assert first is a
    assert [pool.acquire(CLIENT) for _ in range(4)] == [b, c, a, d]


def test_a_tried_one_makes_room_for_the_next_fewest() -> None:
    pool = ready("leastconn", specs(3))
    first, second, third = (pool.acquire(CLIENT) for _ in range(3))
    assert first is not None
    assert second is not None
    pool.release(first)
    pool.release(second)
    assert pool.acquire(CLIENT, [first]) is second
    assert pool.acquire(CLIENT, [first, second]) is third


def test_a_dead_backend_stays_out_when_its_connections_end() -> None:
    pool = ready("leastconn", specs(2))
    dead = pool.acquire(CLIENT)
    assert dead is not None
    pool.set_live(dead, False)
    other = pool.acquire(CLIENT)
    assert other is not dead
    pool.release(dead)
    assert [pool.acquire(CLIENT) for _ in range(3)] == [other] * 3


def test_a_backend_that_was_full_is_back_with_its_first_closed_connection() -> None:
    pool = ready("leastconn", specs(2, max_connections=2))
    fill(pool, *pool.backends)
    assert pool.acquire(CLIENT) is None
    pool.release(pool.backends[1])
    assert pool.acquire(CLIENT) is pool.backends[1]
