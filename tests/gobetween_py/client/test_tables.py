"""What a terminal and a file get to see."""

from io import StringIO

import pytest
from rich.console import Console

from gobetween_py.client import tables

NOTHING = {"added": [], "changed": {}, "removed": [], "sections": []}


def printed(renderable: object, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> str:
    out = StringIO()
    if terminal:
        Console(file=out, markup=False, force_terminal=True, width=60, color_system="standard").print(renderable)
    else:
        monkeypatch.setattr("sys.stdout", out)
        tables.console().print(renderable)
    return out.getvalue()


def connection(client: str) -> dict[str, object]:
    return {
        "id": "7-1",
        "client": client,
        "backend": None,
        "state": "connecting",
        "age": 1234.5678,
        "idle": 0.0,
        "rx": 0,
        "tx": 1_500_000,
        "attempts": 1,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(1234567, "1,234,567"), (True, "yes"), (False, "no"), (None, "-"), ("", "-"), ("x", "x"), (1.5, "1.500")],
)
def test_values_as_they_are_shown(value: object, text: str):
    assert tables.shown(value) == text


@pytest.mark.parametrize(
    ("number", "text"), [(0, "0 B"), (1, "1 B"), (999, "999 B"), (1000, "1.0 kB"), (10**9, "1.0 GB")]
)
def test_sizes_are_rounded(number: int, text: str):
    assert tables.size(number) == text


def test_a_file_gets_lines_as_wide_as_they_need_and_no_colours(monkeypatch: pytest.MonkeyPatch):
    name = "a" * 300
    answer = {"total": 1, "next": None, "connections": [connection(name)]}
    text = printed(tables.connections(answer), monkeypatch)
    assert f"7-1  {name}  -        connecting  1,234.568  0.000  0 B  1.5 MB         1 \n" in text
    assert "\x1b" not in text
    assert text.endswith("1 open in all\n")


def test_the_next_page_is_told_of(monkeypatch: pytest.MonkeyPatch):
    text = printed(tables.connections({"total": 2000, "next": "9-3", "connections": []}), monkeypatch)
    assert text.splitlines()[-2:] == ["2,000 open in all", "there are more: --after 9-3"]


def test_what_the_api_says_is_no_markup_and_no_control_sequence(monkeypatch: pytest.MonkeyPatch):
    answer = {"total": 1, "next": None, "connections": [connection("[red]x[/] \x1b]0;title\x07 :smile:")]}
    text = printed(tables.connections(answer), monkeypatch)
    assert "[red]x[/]" in text
    assert ":smile:" in text
    assert "\x1b" not in text
    assert "\x07" not in text


def test_a_terminal_cuts_anything_but_the_name(monkeypatch: pytest.MonkeyPatch):
    made = tables.table("", "name >number other", [["x" * 30, 123456789, "y" * 60]])
    text = printed(made, monkeypatch, terminal=True)
    assert "x" * 30 in text
    assert "y" * 60 not in text


def test_a_status_names_what_is_not_ready(monkeypatch: pytest.MonkeyPatch):
    about = {"version": "1", "pid": 7, "uptime": "1s", "configuration": {"kind": "file", "path": "lb.toml"}}
    about["unsaved"] = NOTHING
    text = printed(tables.status({**about, "ready": False, "servers": {"web": "has no live backend"}}), monkeypatch)
    assert text == "pygobetween 1, pid 7, up 1s, config: file lb.toml\nweb: has no live backend\n"
    about["unsaved"] = {**NOTHING, "added": ["db"]}
    text = printed(tables.status({**about, "ready": False, "servers": {}}), monkeypatch)
    assert "not in the config: added db\n" in text
    assert text.endswith("a server is not ready\n")


def test_a_reload_in_lines(monkeypatch: pytest.MonkeyPatch):
    changes = {"added": ["a"], "changed": {"b": ["bind", "access"]}, "removed": ["c"], "sections": ["logging"]}
    assert printed(
        tables.reloaded({"changes": changes, "by_hand": {"kept": [], "dropped": []}}), monkeypatch
    ).splitlines() == [
        "added a",
        "changed b: bind, access",
        "removed c",
        "changed section logging",
    ]


def test_what_becomes_of_changes_by_hand(monkeypatch: pytest.MonkeyPatch):
    answer = {"changes": NOTHING, "by_hand": {"kept": ["a"], "dropped": ["b"]}}
    assert printed(tables.reloaded(answer), monkeypatch).splitlines() == [
        "nothing changed",
        "a: what was changed by hand stays",
        "b: what was changed by hand is dropped",
    ]
