"""What is set by hand, laid over what discovery finds."""

from balancer import BackendSpec, Counters, Pool
from gobetween_py.config.override import Override
from gobetween_py.overlay import Overlay

A, B = BackendSpec("a", 1, weight=3), BackendSpec("b", 2)


def test_without_overrides_it_is_what_discovery_finds() -> None:
    overlay = Overlay()
    overlay.found = [A, B]
    assert [*overlay.specs()] == [A, B]


def test_what_is_set_replaces_what_is_found_and_the_rest_stays() -> None:
    overlay = Overlay([Override(address="a:1", priority=7, sni="x", proxy_protocol="none")])
    overlay.found = [A, B]
    assert [*overlay.specs()] == [BackendSpec("a", 1, weight=3, priority=7, sni="x", proxy_protocol="none"), B]


def test_zero_and_empty_are_values_too() -> None:
    overlay = Overlay([Override(address="a:1", weight=0, max_connections=0, sni="")])
    overlay.found = [BackendSpec("a", 1, weight=3, max_connections=9, sni="x")]
    assert [*overlay.specs()] == [BackendSpec("a", 1, weight=0)]


def test_a_manual_backend_is_there_whether_it_is_found_or_not() -> None:
    overlay = Overlay([Override(address="c:3", weight=2)])
    assert [*overlay.specs()] == [BackendSpec("c", 3, weight=2)]
    overlay.found = [A, BackendSpec("c", 3, weight=9)]
    assert [*overlay.specs()] == [A, BackendSpec("c", 3, weight=2)]


def test_one_that_is_not_manual_is_there_only_while_it_is_found() -> None:
    overlay = Overlay([Override(address="a:1", manual=False, weight=9)])
    assert [*overlay.specs()] == []
    overlay.found = [A]
    assert [spec.weight for spec in overlay.specs()] == [9]
    overlay.remove(("a", 1))
    assert [*overlay.specs()] == [A]


def test_what_is_not_ready_is_held_and_let_go_again() -> None:
    pool, overlay = Pool("weight", Counters()), Overlay()
    overlay.found = [A, B]
    pool.update(overlay.specs())
    overlay.set(Override(address="a:1", manual=False, state="drain"))
    overlay.set(Override(address="gone:9", manual=False, state="maint"))
    assert overlay.hold(pool) == frozenset()
    assert [backend.held for backend in pool.backends] == [True, False]
    overlay.set(Override(address="b:2", manual=False, state="maint"))
    overlay.remove(("a", 1))
    assert overlay.hold(pool) == {pool.find("a", 1)}
    assert [backend.held for backend in pool.backends] == [False, True]


def test_another_config_changes_what_it_says_and_nothing_else() -> None:
    before = [Override(address="a:1", weight=1), Override(address="b:2", weight=2)]
    overlay = Overlay(before)
    overlay.set(Override(address="c:3"))  # over the API
    overlay.change(before, [Override(address="b:2", weight=5), Override(address="d:4")])
    assert {override.address: override.weight for override in overlay.overrides.values()} == {
        "b:2": 5,
        "c:3": None,
        "d:4": None,
    }


def test_every_spelling_of_an_address_is_the_same_backend() -> None:
    assert Override(address="[0:0::1]:80").key == ("::1", 80)
    assert Override(address="unix:/run/x").key == ("unix:/run/x", 0)
