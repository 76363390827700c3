import copy
from typing import Any

from gobetween_py.config import Problem
from gobetween_py.config.validate import build
from gobetween_py.reload import KEPT, Difference, Outcome, Status, difference

SERVER: dict[str, Any] = {"bind": ":0", "discovery": {"kind": "static", "static_list": ["127.0.0.1:1"]}}
CONFIG: dict[str, Any] = {"servers": {"a": SERVER, "b": SERVER}}


def between(old: dict[str, Any], new: dict[str, Any]) -> Difference:
    return difference(build(old)[0], build(new)[0])


def changed(**sections: Any) -> dict[str, Any]:
    return {**copy.deepcopy(CONFIG), **sections}


def test_the_same_config_differs_in_nothing():
    what = between(CONFIG, copy.deepcopy(CONFIG))
    assert not what
    assert str(what) == "nothing changed"


def test_the_order_of_servers_and_what_says_the_default_is_no_difference():
    defaults = {"balance": "weight", "access": {"default": "allow"}, **SERVER}
    assert not between(CONFIG, {"servers": {"b": SERVER, "a": defaults}})


def test_servers_are_added_changed_and_removed():
    a = {**SERVER, "bind": ":1", "balance": "leastconn"}
    what = between(CONFIG, {"servers": {"a": a, "c": SERVER}})
    assert (what.added, what.changed, what.removed) == (("c",), {"a": ("bind", "balance")}, ("b",))
    assert str(what) == "added c; changed a (bind, balance); removed b"


def test_a_default_is_a_change_of_each_server_that_takes_it():
    b = {**SERVER, "max_connections": 7}
    servers = {"a": SERVER, "b": b}
    what = between({"servers": servers}, {"defaults": {"max_connections": 5}, "servers": servers})
    assert what.changed == {"a": ("max_connections",)}
    assert what.sections == ("defaults",)


def test_a_secret_counts_without_being_shown():
    def asking(password: str) -> dict[str, Any]:
        discovery = {"kind": "json", "json_endpoint": "http://localhost/", "json_auth_password": password}
        return {"servers": {"a": {**SERVER, "discovery": discovery}}}

    assert not between(asking("one"), asking("one"))
    what = between(asking("one"), asking("two"))
    assert what.changed == {"a": ("discovery",)}
    assert "two" not in repr(what)


def test_a_server_with_another_kind_of_discovery_has_another_discovery():
    """Though both kinds may have the same values."""
    other = {**SERVER, "discovery": {"kind": "file", "file_path": "/etc/hosts"}}
    assert between(CONFIG, changed(servers={"a": other, "b": SERVER})).changed == {"a": ("discovery",)}


def test_sections_beside_the_servers():
    what = between(CONFIG, changed(logging={"level": "debug"}, metrics={"enabled": True, "bind": ":1"}))
    assert what.sections == ("logging", "metrics")
    assert str(what) == "other sections: logging, metrics"


def test_many_names_are_shortened():
    what = between({}, {"servers": {f"s{number}": SERVER for number in range(8)}})
    assert str(what) == "added s0, s1, s2, s3, s4 and 3 more"


def test_the_status_counts_and_keeps_the_last_outcomes():
    status = Status()
    assert status.last is None
    for number in range(KEPT + 5):
        status.note(Outcome("API", problems=(Problem("", f"error {number}"),) if number % 2 else ()))
    assert (status.succeeded, status.failed) == (8, 7)
    assert len(status.outcomes) == KEPT
    assert status.last is not None
    assert status.last.succeeded
    assert status.outcomes[-2].problems == (Problem("", f"error {KEPT + 3}"),)
