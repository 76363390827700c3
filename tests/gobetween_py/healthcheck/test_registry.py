"""Kinds of checks by name, ours and others'."""

import sys
from importlib.metadata import EntryPoint, EntryPoints
from types import ModuleType
from typing import Literal

import pytest

from gobetween_py.config import ConfigErrors, load
from gobetween_py.healthcheck import registry
from gobetween_py.healthcheck.contract import Check, Options, Target
from gobetween_py.healthcheck.registry import BrokenPluginError, UnknownKindError


class CoinOptions(Options):
    kind: Literal["coin"] = "coin"
    coin_sides: int = 2


class Coin(Check):
    Options = CoinOptions

    async def check(self, target: Target) -> str:
        return "heads"


class Bare(Check):
    async def check(self, target: Target) -> str:
        return ""


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if packages with entry points were installed."""
    module = ModuleType("coins")
    module.Coin, module.Bare, module.text = Coin, Bare, "text"  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "coins", module)
    points = EntryPoints(
        EntryPoint(name, f"coins:{attribute}", registry.GROUP)
        for name, attribute in {"coin": "Coin", "ping": "Coin", "bare": "Bare", "text": "text", "gone": "Gone"}.items()
    )
    monkeypatch.setattr(registry, "entry_points", points.select)


@pytest.mark.parametrize("kind", [*registry.BUILT_IN, "coin"])
def test_a_kind_names_itself_in_its_options(kind: str) -> None:
    assert registry.options_of(kind).model_fields["kind"].default == kind
    assert registry.options_of(kind) is registry.load(kind).Options


@pytest.mark.parametrize("kind", [*registry.BUILT_IN, "coin"])
def test_the_keys_of_a_kind_begin_with_its_name(kind: str) -> None:
    own = registry.options_of(kind).model_fields.keys() - Options.model_fields.keys()
    assert all(key.startswith(f"{kind}_") for key in own)


def test_none_has_the_keys_of_all_kinds_only() -> None:
    assert registry.options_of("none") is Options


def test_plugins_stand_after_ours_and_never_in_place_of_one() -> None:
    assert registry.kinds() == ["none", "ping", "probe", "http", "exec", "bare", "coin", "gone", "text"]
    assert registry.load("ping") is not Coin


def test_an_unknown_kind_is_told_what_there_is() -> None:
    with pytest.raises(UnknownKindError, match=r"'pong'; there are none, ping, probe, http, exec, bare, coin"):
        registry.load("pong")


@pytest.mark.parametrize(
    ("kind", "reason"), [("bare", "no attribute Options"), ("text", "no subclass"), ("gone", "cannot be loaded")]
)
def test_a_broken_plugin_says_what_is_wrong(kind: str, reason: str) -> None:
    with pytest.raises(BrokenPluginError, match=reason):
        registry.load(kind)


SERVER = '[servers.a]\nbind = ":0"\ndiscovery = { kind = "static", static_list = [] }\nhealthcheck = %s'


def test_a_config_may_name_a_plugin() -> None:
    check = load(SERVER % '{ kind = "coin", interval = "1s", coin_sides = 3 }').servers["a"].healthcheck
    assert check == CoinOptions.model_validate({"interval": "1s", "coin_sides": 3})


def test_a_config_that_names_a_broken_plugin_is_refused() -> None:
    with pytest.raises(ConfigErrors, match=r"servers\.a\.healthcheck\.kind: .* no subclass"):
        load(SERVER % '{ kind = "text", interval = "1s" }')
