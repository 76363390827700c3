"""Whatever a file holds, it is a config or it is refused with problems; nothing else ever comes out."""

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from discovery import registry as kinds
from gobetween_py.config import Config, ConfigErrors, load
from gobetween_py.config.dump import dump
from gobetween_py.config.schema import config_schema
from gobetween_py.config.sources import Format
from gobetween_py.config.validate import build

ROOT = Path(__file__).parents[3]
SAMPLES = [file.read_text() for file in sorted((ROOT / "configs").glob("*.toml"))]
INVALID = [file.read_text() for file in sorted((Path(__file__).parent / "invalid").glob("*.toml"))]
KEYS = sorted(
    {key for definition in config_schema()["$defs"].values() for key in definition.get("properties", {})} | {"servers"}
)
VALUES = [
    *["tcp", "udp", "tls", "weight", "static", "ping", "probe", "exec", "regexp", "keeplast", "5s", "0", ":3000"],
    *["127.0.0.1:80", "unix:/a", "[::1]:80", "localhost:80 weight=2", "allow ::1", "http://u:p@h/", *kinds.kinds()],
]

leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(VALUES)
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | st.text(), inner, max_size=6),
    max_leaves=30,
)
servers = st.dictionaries(st.text(max_size=5), st.dictionaries(st.sampled_from(KEYS), trees, max_size=12), max_size=3)
often = settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def is_a_config_or_refused(text: str, format: Format, *, lenient: bool = False) -> None:
    try:
        config = load(text, format, lenient=lenient, warn=lambda _: None)
    except ConfigErrors as refused:
        lines = str(refused).split("\n")
    else:
        lines = []
        assert isinstance(config, Config)
    assert all(lines)
    assert "pydantic" not in "".join(lines)


@often
@given(st.text(), st.sampled_from(["toml", "json"]))
def test_any_text(text: str, format: Format) -> None:
    is_a_config_or_refused(text, format)


@often
@given(trees, st.booleans())
def test_any_json(tree: object, lenient: bool) -> None:
    is_a_config_or_refused(json.dumps(tree), "json", lenient=lenient)


@often
@given(servers, trees, trees, st.booleans())
def test_any_servers(servers: object, defaults: object, api: object, lenient: bool) -> None:
    """Known keys with values of every kind."""
    data = {"servers": servers, "defaults": defaults, "api": api}
    is_a_config_or_refused(json.dumps(data), "json", lenient=lenient)


@often
@given(st.sampled_from(SAMPLES + INVALID), st.data())
def test_any_change_of_a_file(text: str, data: st.DataObject) -> None:
    """A piece is cut out, and something else put in its place."""
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 30))
    piece = data.draw(st.text(max_size=8) | st.sampled_from(['"', "[", "]", "{", "}", "=", "\n", "\\", "'", "[[a]]\n"]))
    is_a_config_or_refused(text[:start] + piece + text[start + length :], "toml")


durations = st.sampled_from(["0", "1ns", "1.5s", "1m30s", "2h", "100ms"])
hosts = st.ip_addresses(v=4).map(str) | st.ip_addresses(v=6).map(lambda host: f"[{host}]") | st.just("localhost")
addresses = st.builds("{}:{}".format, hosts, st.integers(1, 65535)) | st.just("unix:/run/a.sock")
lines = st.builds(
    "{} weight={} sni={}".format, addresses, st.integers(0, 9), st.from_regex(r"[a-z.-]+", fullmatch=True)
)
networks = st.builds("{}/{}".format, st.ip_addresses(), st.integers(0, 32))
valid_servers = st.dictionaries(
    st.text(),
    st.fixed_dictionaries(
        {
            "bind": hosts.map("{}:0".format),
            "discovery": st.fixed_dictionaries({"kind": st.just("static"), "static_list": st.lists(lines)}),
        },
        optional={
            "balance": st.sampled_from(["weight", "maglev", "p2c"]),
            "client_idle_timeout": durations,
            "max_connections": st.integers(0, 2**31 - 1),
            "priority_tiers": st.booleans(),
            "access": st.fixed_dictionaries(
                {"rules": st.lists(st.builds("{} {}".format, st.sampled_from(["allow", "deny"]), networks))}
            ),
            "healthcheck": st.fixed_dictionaries({"probe_send": st.text(), "exec_command": st.text()}),
        },
    ),
    max_size=3,
)


@pytest.mark.parametrize("format", ["toml", "json"])
@often
@given(valid_servers)
def test_what_a_config_is_dumped_as_loads_as_the_same(format: Format, servers: object) -> None:
    config, _ = build({"servers": servers})
    assert load(dump(config, format, reveal=True), format) == config
