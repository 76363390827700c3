"""Backends in structured data."""

import json
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.backend import BackendSpec
from discovery.document import Paths, follow, parse_path, spec_of, specs_of
from discovery.json_items import MAX_ITEM, json_items
from discovery.slices import PAUSE

ENTRY = {"host": "a", "port": "80", "weight": 2, "priority": 3, "max_connections": 4, "sni": "x", "more": {"b.c": [7]}}


def test_an_entry_is_a_backend() -> None:
    assert spec_of(ENTRY) == BackendSpec("a", 80, 2, 3, 4, "x")


@pytest.mark.parametrize("port", [80, "80", 80.0])
def test_a_port_is_text_or_a_number(port: Any) -> None:
    assert spec_of({"host": "a", "port": port}) == BackendSpec("a", 80)


def test_absent_null_and_empty_are_the_defaults() -> None:
    nothing = {"weight": None, "priority": None, "max_connections": "", "sni": None}
    assert spec_of({"host": "a", "port": 80, **nothing}) == BackendSpec("a", 80)


def test_a_unix_socket_needs_no_port() -> None:
    assert spec_of({"host": "unix:/a.sock"}) == BackendSpec("unix:/a.sock", 0)


def test_values_lie_where_the_paths_say_also_in_lists() -> None:
    paths = Paths(host=parse_path("node.addresses.1.ip"), port=parse_path("ports.0"), weight=parse_path("meta.a~1b~0"))
    entry = {"node": {"addresses": [{"ip": "x"}, {"ip": "y"}]}, "ports": [443], "meta": {"a.b~": 9}}
    assert spec_of(entry, paths) == BackendSpec("y", 443, 9)


def test_an_entry_may_be_a_backend_line() -> None:
    assert spec_of("a:80 weight=2") == BackendSpec("a", 80, 2)


def test_entries_may_be_lists_themselves() -> None:
    assert spec_of(["a", 80], Paths(host=("0",), port=("1",))) == BackendSpec("a", 80)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("a", "'a' has no port"),
        (7, "'7' is no object"),
        (None, "'None' is no object"),
        ({}, "no host (text at 'host')"),
        ({"host": 7, "port": 80}, "the host is no text"),
        ({"host": "a"}, "no port (a number at 'port')"),
        ({"host": "a", "port": True}, "port 'True' is not a whole number"),
        ({"host": "a", "port": [80]}, "port '[80]' is not a whole number"),
        ({"host": "a", "port": 80.5}, "port '80.5' is not a whole number"),
        ({"host": "a", "port": 80, "weight": -1}, "weight '-1' is not a whole number from 0"),
        ({"host": "a", "port": 80, "weight": {}}, "weight '{}' is not a whole number"),
        ({"host": "a", "port": 80, "sni": 1}, "the sni is no text"),
    ],
)
def test_says_what_is_wrong_with_an_entry(entry: Any, problem: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the text is what is tested
        spec_of(entry)
    assert problem in str(raised.value)


async def test_where_no_entry_is_a_backend_the_list_is_another_one() -> None:
    with pytest.raises(ValueError, match="none of its entries is a backend, entry 1: no host"):
        await specs_of([{"name": "x"}, {"name": "y"}], lambda _: None)
    assert await specs_of([], pytest.fail) == []


@pytest.mark.parametrize(
    ("text", "path", "items"),
    [
        ("[]", "", []),
        (" [ 1 , {} ] \n", "", [1, {}]),
        ('{"a": 1, "b": {"c": [2, 3], "d": null}, "e": []}', "b.c", [2, 3]),
        ('[{"x": 1}, {"y": ["found"]}, 2]', "1.y", ["found"]),
        ('{"": {"0": [1]}}', ".0", [1]),
    ],
)
def test_reads_the_array_at_a_path(text: str, path: str, items: list[Any]) -> None:
    assert list(json_items(text, parse_path(path))) == items


@pytest.mark.parametrize(
    ("text", "path", "problem"),
    [
        ("", "", "expected an array at character 0, found the end"),
        ("<html>", "", "expected an array at character 0, found '<html>'"),
        ("{}", "", "expected an array"),
        ("[1", "", "expected ',' or ']' at character 2, found the end"),
        ("[1,]", "", "Expecting value"),
        ("[1] [2]", "", "more text after the document, at character 4"),
        ("[NaN]", "", "NaN is no JSON"),
        ("{}", "a", "no key 'a'"),
        ("[]", "a", "expected an object with the key 'a'"),
        ("[7]", "2", "the array ends 2 before the index asked for"),
        ('{"a": [1]', "a", "expected ',' or '}'"),
        ('{"a": [1], "b"}', "a", "expected ':'"),
        ('{"a": [1], b: 2}', "a", "expected a key in quotes"),
        ('{"a": [1], "b": }', "a", "Expecting value"),
    ],
)
def test_says_where_a_text_is_no_json_or_has_no_array(text: str, path: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the text is what is tested
        list(json_items(text, parse_path(path)))
    assert problem in str(raised.value)


def test_an_item_has_a_largest_size_so_that_decoding_it_ends_soon() -> None:
    """Wherever it lies, and whatever it would turn out to be."""
    fits, problem = "x" * (MAX_ITEM - 2), r"the value at character 3 is longer than 262144|recursion"
    assert list(json_items(json.dumps([fits] * 3))) == [fits] * 3
    for item in f'"{fits}x"', "[" + "0," * (MAX_ITEM // 2) + "0]", '"' + r"\n" * MAX_ITEM, '{"a":' * MAX_ITEM:
        with pytest.raises((ValueError, RecursionError), match=problem):
            list(json_items(f"[1,{item}]"))


def test_what_is_wrong_is_found_where_it_is() -> None:
    """Parts of the text are decoded; characters are counted in the whole of it."""
    text = json.dumps(["x" * 1000] * 1000)
    with pytest.raises(ValueError, match=f"Expecting value at character {len(text)}"):
        list(json_items(f"{text[:-1]},?]"))


@pytest.mark.parametrize("large", [["x" * 1000] * 1000, {"a": {"b": ["x" * 100_000] * 5}, "c": [{}] * 100_000}, {}, []])
def test_large_values_beside_the_array_are_passed_over_with_pauses(large: Any) -> None:
    text = json.dumps({"before": large, "in": [large, ["found"], large], "after": large})
    found = list(json_items(text, ("in", "1")))
    assert [item for item in found if item is not PAUSE] == ["found"]
    assert (found.count(PAUSE) > 0) == bool(large)
    with pytest.raises(ValueError, match="no key 'there'"):
        list(json_items(text, ("there",)))


@pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 1_000_000, '[{"a":' * 500_000])
def test_endless_nesting_ends_in_an_error(text: str) -> None:
    assert len(text) > 100 * sys.getrecursionlimit()
    with pytest.raises((RecursionError, ValueError)):
        list(json_items(text))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(st.lists(_JSON), st.sampled_from([None, 1, "\t"]))
def test_items_are_those_of_json_loads(items: list[Any], indent: int | str | None) -> None:
    assert list(json_items(json.dumps(items, indent=indent))) == items


@given(st.dictionaries(st.text(max_size=3), st.lists(_JSON), min_size=1), st.data())
def test_an_array_inside_is_that_of_json_loads(document: dict[str, list[Any]], data: st.DataObject) -> None:
    key = data.draw(st.sampled_from(sorted(document)))
    assert list(json_items(json.dumps([{"x": document}]), ("0", "x", key))) == document[key]


@given(st.text(st.sampled_from('[]{}":,0a \\n-.e\ud800'), max_size=30), st.sampled_from(["", "a", "0", "a.0"]))
def test_any_text_has_items_or_a_value_error(text: str, path: str) -> None:
    """Where the standard library takes the text too, both agree."""
    try:
        items = list(json_items(text, parse_path(path)))
    except ValueError:
        return
    assert items == follow(json.loads(text), parse_path(path))


@given(_JSON, st.lists(st.text(max_size=3) | st.sampled_from(["0", "1", "host"]), max_size=3))
def test_any_value_is_a_backend_or_a_value_error(entry: Any, path: list[str]) -> None:
    try:
        spec = spec_of(entry, Paths(host=tuple(path), port=("port",)))
    except ValueError:
        return
    assert spec.address.encode()
