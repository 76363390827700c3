"""The JSON Schema of the config (draft 2020-12), from the models and the options of every kind."""

from typing import Any, Literal

from balancer import registry as balancers
from discovery import registry as kinds
from discovery.contract import DiscoveryError
from gobetween_py.config.models import Config
from gobetween_py.healthcheck import registry as health_kinds

DRAFT = "https://json-schema.org/draft/2020-12/schema"
AS_WRITTEN: Literal["serialization"] = "serialization"
"""In pydantic's other mode defaults would be shown as they are held: 10.0, not "10s"."""
Schema = dict[str, Any]


def config_schema() -> Schema:
    """The schema of a whole config file, as a table that can be written as JSON."""
    schema = Config.model_json_schema(mode=AS_WRITTEN)
    definitions = schema["$defs"]
    server = definitions["Server"]["properties"]
    server["balance"]["enum"] = balancers.names()
    for key, registry in {"discovery": kinds, "healthcheck": health_kinds}.items():
        name = key.capitalize()
        definitions.pop(server[key]["$ref"].rpartition("/")[2], None)
        server[key] = {"$ref": f"#/$defs/{name}", "description": server[key].get("description", "")}
        definitions[name] = _by_kind(name, registry, definitions)
    definitions["Discovery"]["required"] = ["kind"]
    return {"$schema": DRAFT, "title": "pygobetween's config", **schema}


def _by_kind(name: str, registry: Any, definitions: Schema) -> Schema:
    """The keys that the kind says. By if and then, so that an editor tells what is wrong for that kind only."""
    branches, names = [], []
    for kind in registry.kinds():
        try:
            options = registry.options_of(kind)
        except (DiscoveryError, ImportError):  # not even modelled, or a plugin that cannot be loaded
            continue
        schema = options.model_json_schema(mode=AS_WRITTEN)
        definitions |= schema.pop("$defs", {})
        schema["properties"]["kind"] = {"const": kind}
        definitions[f"{name}-{kind}"] = schema
        names.append(kind)
        branches.append(
            {
                "if": {"properties": {"kind": {"const": kind}}, "required": ["kind"]},
                "then": {"$ref": f"#/$defs/{name}-{kind}"},
            }
        )
    return {"type": "object", "properties": {"kind": {"enum": names}}, "allOf": branches}
