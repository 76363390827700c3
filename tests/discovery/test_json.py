"""json: an array in an HTTP answer."""

import asyncio
import json
import time
from typing import Any

import pytest
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.json import Json, JsonOptions


def make(**options: Any) -> Json:
    return Json(JsonOptions.model_validate({"kind": "json", "json_endpoint": "http://h/", **options}))


async def test_reads_the_format_of_the_manual() -> None:
    text = """[
      {"host": "0.0.0.0", "port": "1231", "weight": 1, "priority": 1, "sni": "foo.com"},
      {"host": "1.1.1.1", "port": "1232", "weight": 2, "priority": 1}
    ]"""
    assert await make().parse(text) == [BackendSpec("0.0.0.0", 1231, sni="foo.com"), BackendSpec("1.1.1.1", 1232, 2)]


async def test_patterns_say_where_values_lie() -> None:
    names = "host", "port", "weight", "priority", "sni", "max_connections"
    discovery = make(
        json_root_pattern="data.0.nodes",
        **{f"json_{name}_pattern": f"in.list.{index}" for index, name in enumerate(names)},
    )
    text = json.dumps({"data": [{"nodes": [{"in": {"list": ["a", 80, 2, 3, "s", 4]}}]}], "next": None})
    assert await discovery.parse(text) == [BackendSpec("a", 80, 2, 3, 4, "s")]


async def test_an_empty_pattern_is_the_default_one() -> None:
    assert await make(json_host_pattern="").parse('[{"host": "a", "port": 1}]') == [BackendSpec("a", 1)]


async def test_bad_entries_are_skipped_and_named() -> None:
    discovery = make()
    entries = [
        {"host": "a", "port": 1},
        {"host": "b"},
        7,
        {"host": "c", "port": 0},
        "d:4 weight=2",
        {"host": "", "port": 5},
    ]
    assert await discovery.parse(json.dumps(entries)) == [BackendSpec("a", 1), BackendSpec("d", 4, 2)]
    assert list(discovery.skipped._now) == [
        "entry 2: no port (a number at 'port')",
        "entry 3: '7' is no object",
        "entry 4: port '0' is not a whole number from 1 to 65535",
        "entry 6: host '' is neither a name nor an address",
    ]


async def test_ten_thousand_entries_give_way_to_other_work() -> None:
    turns, longest, last = 0, 0.0, time.perf_counter()

    async def turn() -> None:
        nonlocal turns, longest, last
        while True:
            await asyncio.sleep(0)
            turns, longest, last = turns + 1, max(longest, time.perf_counter() - last), time.perf_counter()

    text = json.dumps(
        [{"host": f"10.0.{n >> 8}.{n & 255}", "port": 80, "weight": 3, "meta": {}} for n in range(10_000)]
    )
    other = asyncio.create_task(turn())
    started = last = time.perf_counter()
    specs = await make().parse(text)
    print(f"10,000 entries: {time.perf_counter() - started:.3f} s, {turns} turns, longest {longest * 1000:.1f} ms")
    other.cancel()
    assert len(specs) == 10_000
    assert turns > 3


@pytest.mark.parametrize("options", [{}, {"json_endpoint": 7}, {"json_endpoint": "http://h/", "json_host": "x"}])
def test_options_are_validated(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        JsonOptions.model_validate({"kind": "json", **options})
