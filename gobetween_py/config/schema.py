"""The JSON Schema of the config (draft 2020-12), from the models and the options of every kind of discovery."""

from typing import Any, Literal

from balancer import registry as balancers
from discovery import registry as kinds
from discovery.contract import DiscoveryError
from gobetween_py.config.models import Config

DRAFT = "https://json-schema.org/draft/2020-12/schema"
AS_WRITTEN: Literal["serialization"] = "serialization"
"""In pydantic's other mode defaults would be shown as they are held: 10.0, not "10s"."""
Schema = dict[str, Any]


def config_schema() -> Schema:
    """The schema of a whole config file, as a table that can be written as JSON."""
    schema = Config.model_json_schema(mode=AS_WRITTEN)
    definitions = schema["$defs"]
    definitions.pop("Options", None)
    server = definitions["Server"]["properties"]
    server["balance"]["enum"] = balancers.names()
    server["discovery"] = {"$ref": "#/$defs/Discovery", "description": server["discovery"].get("description", "")}
    definitions["Discovery"] = _discovery(definitions)
    return {"$schema": DRAFT, "title": "pygobetween's config", **schema}


def _discovery(definitions: Schema) -> Schema:
    """The keys that the kind says. By if and then, so that an editor tells what is wrong for that kind only."""
    branches, names = [], []
    for kind in kinds.kinds():
        try:
            options = kinds.options_of(kind)
        except DiscoveryError:  # not even modelled, or a plugin that cannot be loaded
            continue
        schema = options.model_json_schema(mode=AS_WRITTEN)
        definitions |= schema.pop("$defs", {})
        schema["properties"]["kind"] = {"const": kind}
        definitions[f"Discovery-{kind}"] = schema
        names.append(kind)
        branches.append(
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/Discovery-{kind}"},
            }
        )
    return {"type": "object", "required": ["kind"], "properties": {"kind": {"enum": names}}, "allOf": branches}
