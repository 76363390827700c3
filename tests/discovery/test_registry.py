"""Where kinds are found: ours, and those of third parties."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery import registry
from discovery.contract import Discovery, Options
from discovery.registry import (
    KINDS,
    BrokenPluginError,
    Kind,
    NotAvailableError,
    UnknownKindError,
    kinds,
    load,
    options_of,
)
from gobetween_py.config import ConfigErrors
from gobetween_py.config import load as load_config
from tests.discovery.plugin_package.install import install

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the plugin package in it."""
    return install(tmp_path_factory.mktemp("site"))


@pytest.fixture
def plugin(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plugin package is installed."""
    monkeypatch.syspath_prepend(site)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_options_of_its_name(kind: str) -> None:
    options = options_of(kind)
    assert issubclass(options, Options)
    assert options.model_fields["kind"].default == kind


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_is_a_discovery_with_these_options(kind: str) -> None:
    discovery = load(kind)
    assert issubclass(discovery, Discovery)
    assert discovery.Options is options_of(kind)


def test_nothing_is_imported_before_a_config_names_it() -> None:
    code = (
        "import discovery.registry as r, sys; r.kinds(); print([k for k in r.KINDS if f'discovery.{k}' in sys.modules])"
    )
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert printed.strip() == "[]"


def test_an_unknown_kind_names_what_there_is_and_what_was_meant() -> None:
    with pytest.raises(UnknownKindError) as raised:
        load("statik")
    assert str(raised.value).startswith(
        "unknown discovery kind 'statik' (did you mean 'static'?): known are static, srv, "
    )
    assert raised.value.suggestion == "static"
    with pytest.raises(UnknownKindError, match="'xyz': known are"):
        options_of("xyz")


def test_a_missing_package_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    row = Kind("discovery.static:StaticOptions", "discovery.static:Static", extra="whale", needs=("no_such_package",))
    monkeypatch.setitem(KINDS, "whale", row)
    with pytest.raises(NotAvailableError) as raised:
        load("whale")
    assert str(raised.value) == (
        "discovery kind 'whale' needs the Python package 'no_such_package': pip install 'pygobetween[whale]'"
    )
    assert options_of("whale")


@pytest.mark.usefixtures("plugin")
async def test_a_package_of_a_third_party_adds_a_kind() -> None:
    assert "weekday" in kinds()
    options = options_of("weekday").model_validate({"kind": "weekday", "weekday_list": ["a:1"]})
    assert await load("weekday")(options).fetch() == [BackendSpec("a", 1)]


@pytest.mark.usefixtures("plugin")
def test_options_of_a_plugin_are_validated_like_ours() -> None:
    with pytest.raises(ValidationError) as raised:
        options_of("weekday").model_validate({"kind": "weekday", "weekday_lst": [], "interval": 5})
    assert {error["loc"] for error in raised.value.errors()} == {("weekday_list",), ("weekday_lst",), ("interval",)}


@pytest.mark.usefixtures("plugin")
def test_errors_of_a_plugin_in_a_config_are_named_like_ours() -> None:
    text = """
[servers.web]
bind = ":3000"
[servers.web.discovery]
kind = "weekday"
weekday_lst = []
interval = 5
"""
    with pytest.raises(ConfigErrors) as raised:
        load_config(text)
    problems = sorted(str(problem) for problem in raised.value.problems)
    assert [problem.partition(":")[0] for problem in problems] == [
        "servers.web.discovery.interval",
        "servers.web.discovery.weekday_list",
        "servers.web.discovery.weekday_lst",
    ]
    assert "did you mean 'weekday_list'" in problems[2]


@pytest.mark.usefixtures("plugin")
def test_a_broken_plugin_is_named_with_its_distribution_and_entry_point() -> None:
    with pytest.raises(BrokenPluginError) as raised:
        load("broken")
    assert str(raised.value) == (
        "discovery kind 'broken' of distribution 'gobetween-weekday' (entry point broken ="
        " gobetween_weekday_that_is_not_there:Broken) cannot be loaded: ModuleNotFoundError:"
        " No module named 'gobetween_weekday_that_is_not_there'"
    )
    with pytest.raises(BrokenPluginError, match=r"nodiscovery .* is no subclass of discovery\.contract\.Discovery"):
        options_of("nodiscovery")


def test_two_plugins_of_one_name_are_refused(site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    info = tmp_path / "other-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 2.0\n")
    (info / "entry_points.txt").write_text(f"[{registry.GROUP}]\nweekday = other:Weekday\n")
    monkeypatch.syspath_prepend(site)
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(
        BrokenPluginError, match=r"'weekday' is claimed twice, by .*'other'.* and .*'gobetween-weekday'"
    ):
        load("weekday")
