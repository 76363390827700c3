"""Every file of configs/ is right, and the reference shows every key."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import jsonschema
import pytest
import tomlkit

from discovery import registry as kinds
from gobetween_py.config import ConfigErrors, Problem, load, load_file
from gobetween_py.config.schema import config_schema

CONFIGS = Path(__file__).parents[3] / "configs"
NO_CONFIGS = {"grafana-dashboard.json"}
SAMPLES = sorted({*CONFIGS.glob("*.toml"), *CONFIGS.glob("*.json")} - {CONFIGS / name for name in NO_CONFIGS})
REFERENCE = (CONFIGS / "reference.toml").read_text()
LEFT_OUT = re.compile(r"^#(?=[^\s#-])", re.MULTILINE)


def plain(file: Path) -> object:
    text = file.read_text()
    return json.loads(text) if file.suffix == ".json" else tomlkit.parse(text).unwrap()


def problems_of(text: str) -> list[str]:
    try:
        load(text)
    except ConfigErrors as errors:
        return [str(problem) for problem in errors.problems]
    return []


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_is_accepted_without_a_warning(file: Path) -> None:
    warnings: list[Problem] = []
    config = load_file(file, warn=warnings.append)
    assert config.servers
    assert not warnings


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_is_right_by_the_schema(file: Path) -> None:
    jsonschema.Draft202012Validator(config_schema()).validate(plain(file))


@pytest.mark.parametrize("file", SAMPLES, ids=lambda file: file.name)
def test_a_sample_listens_on_ports_that_need_no_privilege(file: Path) -> None:
    for server in load_file(file).servers.values():
        assert server.bind.path or server.bind.port > 1024


def test_the_json_sample_says_the_same_as_the_toml_one() -> None:
    assert load_file(CONFIGS / "static.json") == load_file(CONFIGS / "static.toml")


def test_the_reference_shows_the_defaults() -> None:
    """What stands in its example server is what a server without those keys has."""
    example = load_file(CONFIGS / "reference.toml").servers["example"]
    shortest = load('[servers.a]\nbind = ":1"\ndiscovery = { kind = "static", static_list = [] }').servers["a"]
    shown = {"bind", "discovery", "access"}
    assert example.model_dump(exclude=shown) == shortest.model_dump(exclude=shown)


def test_what_the_reference_leaves_out_is_right() -> None:
    whole = LEFT_OUT.sub("", REFERENCE)
    assert len(LEFT_OUT.findall(REFERENCE)) > 50
    assert problems_of(whole) == []


def keys(schema: object) -> Iterator[str]:
    if isinstance(schema, dict):
        yield from schema.get("properties", {})
        for inner in schema.values():
            yield from keys(inner)
    elif isinstance(schema, list):
        for inner in schema:
            yield from keys(inner)


def test_the_reference_shows_every_key_of_the_schema() -> None:
    shown = set(re.findall(r"([a-z_0-9]+) *=", REFERENCE)) | set(
        re.findall(r"[a-z_0-9]+", "\n".join(re.findall(r"^#?\[(.*?)\]", REFERENCE, re.MULTILINE)))
    )
    assert set(keys(config_schema())) - shown == set()


def test_the_reference_names_every_kind_of_discovery_that_is_ours() -> None:
    assert {kind for kind in kinds.KINDS if f'kind = "{kind}"' not in REFERENCE} == set()
