"""docs/discovery.md: its configs are accepted, and its sections are the kinds there are."""

import re
from pathlib import Path

import pytest

from discovery.registry import KINDS
from gobetween_py.config import load

TEXT = (Path(__file__).parents[2] / "docs" / "discovery.md").read_text()
CONFIGS = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("config", CONFIGS)
def test_a_config_of_the_manual_is_accepted(config: str) -> None:
    assert load(config).servers


def test_every_kind_has_its_section() -> None:
    assert set(re.findall(r"^## (\w+)$", TEXT, re.MULTILINE)) == KINDS.keys()
