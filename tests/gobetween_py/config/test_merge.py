"""A config that is read again, after changes by hand."""

from typing import Any

import pytest

from gobetween_py.config import Config
from gobetween_py.config.edit import ClashError
from gobetween_py.config.merge import Merged, merged
from gobetween_py.config.validate import build


def server(**keys: Any) -> dict[str, Any]:
    return {"bind": "127.0.0.1:0", "discovery": {"kind": "static", "static_list": ["10.0.0.1:80"]}, **keys}


def config(**sections: Any) -> Config:
    return build(sections)[0]


def servers(**tables: dict[str, Any]) -> Config:
    return config(servers=tables)


def backend(address: str, **keys: Any) -> dict[str, Any]:
    return {"address": address, **keys}


TEXT = servers(web=server())
CHANGED = servers(web=server(balance="leastconn"))


def overrides(result: Merged) -> dict[str, str]:
    return {override.address: override.state for override in result.config.servers["web"].backends}


def test_without_changes_by_hand_the_text_is_what_runs() -> None:
    assert merged(TEXT, TEXT, CHANGED) == Merged(CHANGED)
    assert merged(TEXT, TEXT, config()) == Merged(config())


@pytest.mark.parametrize(
    "running", [servers(web=server(), new=server()), CHANGED, config()], ids=["added", "changed", "removed"]
)
def test_what_was_done_by_hand_stays_while_the_text_says_the_same(running: Config) -> None:
    """Though it says something new elsewhere."""
    now = config(servers={"web": server(), "other": server()}, logging={"level": "debug"})
    result = merged(TEXT, running, now)
    assert result.config.logging.level == "debug"
    assert result.config.servers == {**running.servers, "other": now.servers["other"]}
    assert result.dropped == ()
    assert len(result.kept) == 1


def test_where_the_text_says_something_new_it_counts() -> None:
    now = servers(web=server(balance="iphash"), new=server(balance="iphash"))
    for running in CHANGED, config(), servers(web=server(balance="leastconn"), new=server()):
        result = merged(TEXT, running, now)
        assert result.config == now
        assert result.kept == ()
        assert result.dropped == (("web", "new") if "new" in running.servers else ("web",))
    assert merged(TEXT, CHANGED, config()) == Merged(config(), (), ("web",))


def test_what_was_written_into_the_text_meanwhile_is_not_by_hand_any_more() -> None:
    assert merged(TEXT, CHANGED, CHANGED) == Merged(CHANGED)
    assert merged(TEXT, config(), config()) == Merged(config())


def test_a_drained_backend_stays_drained_when_its_server_changes() -> None:
    """And what the text says of other backends counts."""
    before = servers(web=server(backends=[backend("10.0.0.8:80"), backend("10.0.0.9:80")]))
    running = servers(
        web=server(backends=[backend("10.0.0.8:80"), backend("10.0.0.9:80"), backend("10.0.0.1:80", state="drain")])
    )
    now = servers(web=server(balance="leastconn", backends=[backend("10.0.0.8:80", state="maint")]))
    result = merged(before, running, now)
    assert result.config.servers["web"].balance == "leastconn"
    assert overrides(result) == {"10.0.0.8:80": "maint", "10.0.0.1:80": "drain"}
    assert (result.kept, result.dropped) == (("web",), ())


def test_of_a_backend_too_the_text_counts_where_it_says_something_new() -> None:
    before = servers(web=server(backends=[backend("10.0.0.1:80", state="drain")]))
    running = servers(web=server(backends=[backend("10.0.0.1:80", state="maint")]))
    now = servers(web=server(balance="leastconn"))
    result = merged(before, running, now)
    assert result == Merged(now, (), ("web",))


def test_a_backend_that_was_removed_by_hand_stays_removed() -> None:
    before = servers(web=server(backends=[backend("10.0.0.1:80"), backend("10.0.0.2:80")]))
    running = servers(web=server(backends=[backend("10.0.0.2:80")]))
    now = servers(web=server(balance="leastconn", backends=[backend("10.0.0.1:80"), backend("10.0.0.2:80")]))
    result = merged(before, running, now)
    assert [*overrides(result)] == ["10.0.0.2:80"]
    assert result.kept == ("web",)


def test_a_server_and_its_backends_are_told_apart() -> None:
    """The server was changed by hand, its backends in the text."""
    now = servers(web=server(backends=[backend("10.0.0.1:80", state="drain")]))
    result = merged(TEXT, CHANGED, now)
    assert result.config.servers["web"].balance == "leastconn"
    assert overrides(result) == {"10.0.0.1:80": "drain"}
    assert (result.kept, result.dropped) == (("web",), ())


def test_a_server_that_was_made_by_hand_keeps_its_address() -> None:
    running = servers(web=server(), mine=server(bind="127.0.0.1:3000"))
    with pytest.raises(ClashError, match=r"servers\.mine\.bind: '127\.0\.0\.1:3000' is taken: servers\.new\.bind"):
        merged(TEXT, running, servers(web=server(), new=server(bind=":3000")))


@pytest.mark.parametrize(
    "running", [servers(web=server(), new=server()), CHANGED, config()], ids=["added", "changed", "removed"]
)
def test_all_that_was_done_by_hand_can_be_dropped(running: Config) -> None:
    result = merged(TEXT, running, TEXT, discard=True)
    assert result == Merged(TEXT, (), ("new",) if "new" in running.servers else ("web",))


def test_nothing_is_dropped_where_nothing_was_done() -> None:
    assert merged(TEXT, TEXT, CHANGED, discard=True) == Merged(CHANGED)
    assert merged(TEXT, CHANGED, CHANGED, discard=True) == Merged(CHANGED)
