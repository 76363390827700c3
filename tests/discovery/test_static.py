"""static: the list of the config."""

import asyncio

import pytest
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.static import Static, StaticOptions


async def test_answers_with_the_list_of_the_config() -> None:
    options = StaticOptions.model_validate({"kind": "static", "static_list": ["a:1 weight=2", "[::1]:2"]})
    assert await Static(options).fetch() == [BackendSpec("a", 1, 2), BackendSpec("::1", 2)]


def test_each_bad_line_is_an_error_of_the_config_with_its_place() -> None:
    with pytest.raises(ValidationError) as raised:
        StaticOptions.model_validate({"kind": "static", "static_list": ["a:1", "b", "c:x"]})
    assert [error["loc"] for error in raised.value.errors()] == [("static_list", 1), ("static_list", 2)]


def test_a_config_without_a_list_is_refused() -> None:
    with pytest.raises(ValidationError, match="static_list"):
        StaticOptions.model_validate({"kind": "static"})


async def test_a_long_list_holds_nobody_up() -> None:
    lines = [f"10.0.{number // 250}.{number % 250}:80" for number in range(10_000)]
    fetching = asyncio.create_task(Static(StaticOptions(static_list=tuple(lines))).fetch())
    turns = 0
    while not fetching.done():
        await asyncio.sleep(0)
        turns += 1
    assert len(fetching.result() or ()) == 10_000
    assert turns > 3
