import json
from pathlib import Path

import jsonschema
import pytest
import tomlkit

from balancer import registry as balancers
from discovery import registry as kinds
from gobetween_py.config.schema import DRAFT, config_schema

INVALID = Path(__file__).parent / "invalid"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(json.dumps(config_schema()))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def errors(validator: jsonschema.Draft202012Validator, data: object) -> dict[str, str]:
    return {error.json_path: error.message for error in validator.iter_errors(data)}


def server(**keys: object) -> dict[str, object]:
    basis = {"bind": ":3000", "discovery": {"kind": "static", "static_list": ["localhost:80"]}}
    return {"servers": {"a": basis | keys}}


def test_says_which_draft_it_is(validator: jsonschema.Draft202012Validator) -> None:
    assert validator.schema["$schema"] == DRAFT


@pytest.mark.parametrize(
    "name", ["unknown-keys", "wrong-types", "everything-at-once", "discovery", "tls", "healthcheck"]
)
def test_refuses_what_is_wrong_with_keys_and_types(validator: jsonschema.Draft202012Validator, name: str) -> None:
    data = tomlkit.parse((INVALID / f"{name}.toml").read_text()).unwrap()
    assert errors(validator, data)


def test_names_the_wrong_key_of_the_kind_at_hand_only(validator: jsonschema.Draft202012Validator) -> None:
    """An editor shows one message at the place, not one for each kind."""
    found = errors(validator, server(discovery={"kind": "static", "static_list": [], "static_lits": 1}))
    assert found == {
        "$.servers.a.discovery": "Additional properties are not allowed ('static_lits' was unexpected)",
    }


@pytest.mark.parametrize("kind", [kind for kind in kinds.kinds() if kind != "static"])
def test_knows_the_keys_of_every_kind(validator: jsonschema.Draft202012Validator, kind: str) -> None:
    assert errors(validator, server(discovery={"kind": kind, "no_such_key": 1}))
    keys = set(kinds.options_of(kind).model_fields)
    defined = validator.schema["$defs"][f"Discovery-{kind}"]
    assert set(defined["properties"]) == keys
    assert defined["properties"]["kind"] == {"const": kind}


def test_knows_the_names_of_the_algorithms(validator: jsonschema.Draft202012Validator) -> None:
    for name in balancers.names():
        assert not errors(validator, server(balance=name))
    assert errors(validator, server(balance="leastcon"))


@pytest.mark.parametrize(
    ("key", "good", "bad"),
    [
        ("bind", ["localhost:1", ":1", "[::1]:1", "unix:/a"], ["localhost", "::1:1", "unix:a", 80]),
        ("client_idle_timeout", ["0", "1m30s", "500ms"], ["5", "5 s", "", 5, "-1s"]),
        ("access", [{"rules": ["allow ::1", "deny 10.0.0.0/8"]}], [{"rules": ["permit ::1"]}, {"rules": "allow ::1"}]),
        ("max_connections", [0, 5], [-1, 1.5, "5"]),
        ("tls", [{"cert_path": "a", "key_path": "b"}], [{"min_version": "ssl3"}, "cert.pem"]),
    ],
)
def test_knows_the_form_of_values(
    validator: jsonschema.Draft202012Validator, key: str, good: list[object], bad: list[object]
) -> None:
    assert [value for value in good if errors(validator, server(**{key: value}))] == []
    assert [value for value in bad if not errors(validator, server(**{key: value}))] == []


def test_shows_defaults_as_they_are_written(validator: jsonschema.Draft202012Validator) -> None:
    definitions = validator.schema["$defs"]
    assert definitions["Server"]["properties"]["shutdown_timeout"]["default"] == "10s"
    assert definitions["Metrics"]["properties"]["bind"]["default"] == ":9284"


def test_describes_keys_for_the_reader(validator: jsonschema.Draft202012Validator) -> None:
    described = validator.schema["$defs"]["Server"]["properties"]["connect_attempts"]["description"]
    assert described == "How many different backends are tried before a client is given up."
