"""docs/api.md: every route with all its keys stands there, and its configs are accepted."""

import re
from pathlib import Path

import pytest

from gobetween_py.api.routes import ROUTES
from gobetween_py.config import load
from gobetween_py.config.models import Api

TEXT = (Path(__file__).parents[3] / "docs" / "api.md").read_text()
CONFIGS = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
CODE = " ".join(re.findall(r"`([^`]*)`", TEXT))


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_of_the_manual_is_accepted(config: str) -> None:
    assert load(config).servers


def test_every_route_stands_there() -> None:
    assert [f"{route.method} {route.path}" for route in ROUTES if f"`{route.method} {route.path}`" not in TEXT] == []


def test_every_key_of_a_query_or_a_body_stands_there() -> None:
    keys = {key for route in ROUTES for of in (route.query, route.body) for key in getattr(of, "model_fields", ())}
    assert {key for key in keys if not re.search(rf"\b{key}\b", CODE)} == set()


def test_every_status_stands_there() -> None:
    for status in {status for route in ROUTES for status in route.refusals}:
        assert re.search(rf"^\| (?:.*, )?{status}\b", TEXT, re.MULTILINE), status


def test_every_key_of_the_section_stands_there() -> None:
    assert [key for key in Api.model_fields if f"| `{key}` |" not in TEXT] == []
