"""docs/discovery.md: its configs are accepted, its code runs, and its sections are the kinds there are."""

import re
from pathlib import Path
from typing import Any

import pytest

from balancer.backend import BackendSpec
from discovery.registry import KINDS
from gobetween_py.config import load

TEXT = (Path(__file__).parents[2] / "docs" / "discovery.md").read_text()
CONFIGS = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_of_the_manual_is_accepted(config: str) -> None:
    assert load(config).servers


def test_every_kind_has_its_section_in_the_order_of_the_registry() -> None:
    assert re.findall(r"^## (\w+)$", TEXT, re.MULTILINE) == list(KINDS)


async def test_the_kind_of_ones_own_works(monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    module: dict[str, Any] = {"__name__": "my_package"}
    exec(code, module)
    monkeypatch.setenv("BACKENDS", "a:1,b:2 weight=3")
    options = module["EnvOptions"].model_validate({"kind": "env", "env_variable": "BACKENDS"})
    assert await module["Env"](options).fetch() == [BackendSpec("a", 1), BackendSpec("b", 2, 3)]
