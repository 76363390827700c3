"""static: the list of the config."""

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
