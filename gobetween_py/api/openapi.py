"""The table of routes as OpenAPI 3.1; `python -m gobetween_py.api.openapi` prints it."""

from __future__ import annotations

import inspect
import json
from typing import Any

from pydantic import TypeAdapter

from gobetween_py import __version__
from gobetween_py.api.backends import BackendChange, NewBackend
from gobetween_py.api.refusal import RefusalBody
from gobetween_py.api.route import CONFIG, Query, Returns, Route
from gobetween_py.api.routes import ROUTES
from gobetween_py.config.schema import config_schema

Json = dict[str, Any]

REFS = "#/components/schemas/"

ALWAYS = {400: "The query is wrong"}
WITH_CREDENTIALS = {401: "Credentials are needed"}
CHANGES = {403: "A page of another origin asked, and cors is off"}
WITH_BODY = {
    400: "The query is wrong, or the body is no JSON",
    408: "The body took too long",
    413: "The body is too large",
    415: "The body is compressed",
    422: "The body is wrong; problems tells all that is",
}
REFUSALS = {
    404: "There is no such thing",
    409: "The name or the address is taken, or what stands there forbids it",
    412: "It has been changed meanwhile",
    422: "It is wrong; problems tells all that is; nothing was changed",
    500: "It could not be written to the config file",
    503: "Not yet, or not now",
}
PARAMETERS = {
    "name": "The server",
    "address": "The backend: host:port, [v6]:port or unix:/path",
    "id": "The connection",
}

EXAMPLES: dict[object, Json] = {
    CONFIG: {"bind": "127.0.0.1:3000", "discovery": {"kind": "static", "static_list": ["127.0.0.1:8000 weight=2"]}},
    NewBackend: {"host": "127.0.0.1", "port": 8001, "weight": 2},
    BackendChange: {"state": "drain", "deadline": "30s"},
}
PART = {"type": "string", "minLength": 1}


def document() -> Json:
    """The whole description."""
    schemas: Json = {}
    config = _moved(config_schema())
    schemas |= config.pop("$defs")
    schemas["Config"] = {key: value for key, value in config.items() if not key.startswith("$")}
    refusal = {"application/json": {"schema": _schema(RefusalBody, schemas)}}
    paths: Json = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schemas, refusal)
    return {
        "openapi": "3.1.0",
        "info": {"title": "pygobetween", "version": __version__, "description": "The API of a running balancer."},
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {
                "basic": {"type": "http", "scheme": "basic"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _operation(route: Route, schemas: Json, refusal: Json) -> Json:
    words = inspect.getdoc(route.answer) or ""
    summary, _, more = words.partition(". ")
    operation: Json = {
        "operationId": f"{route.answer.__module__.rpartition('.')[2]}_{route.answer.__name__}",
        "summary": summary.rstrip("."),
        "parameters": [*_path_parameters(route.path), *_query_parameters(route.query, schemas)],
        "responses": _responses(route, schemas, refusal),
        "security": [] if route.public else [{"basic": []}, {"bearer": []}, {}],
    }
    if more:
        operation["description"] = more
    if route.body is not None:
        content = {"schema": _schema(route.body, schemas), "example": EXAMPLES[route.body]}
        operation["requestBody"] = {"required": True, "content": {"application/json": content}}
    return operation


def _path_parameters(path: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "description": text,
            "schema": {"type": "string", "minLength": 1},
        }
        for name, text in PARAMETERS.items()
        if f"{{{name}}}" in path
    ]


def _query_parameters(query: type[Query], schemas: Json) -> list[Json]:
    schema = _schema(query, schemas, keep=False)
    return [
        {"name": name, "in": "query", "description": of.pop("description", ""), "schema": _without_null(of)}
        for name, of in schema.get("properties", {}).items()
    ]


def _without_null(schema: Json) -> Json:
    """In a query there is no null: what may be null may be left out."""
    schema = {key: value for key, value in schema.items() if not (key == "default" and value is None)}
    options = [option for option in schema.pop("anyOf", []) if option != {"type": "null"}]
    return {**schema, **options[0]} if len(options) == 1 else schema


def _responses(route: Route, schemas: Json, refusal: Json) -> Json:
    returns = route.returns
    content = {kind: {"schema": _answer_schema(kind, returns, schemas)} for kind in returns.content}
    good = {"description": "Done", "content": content}
    responses = {str(returns.status): good}
    if returns.also:
        responses[str(returns.also)] = good
    texts = dict(ALWAYS)
    if not route.public:
        texts |= WITH_CREDENTIALS
    if route.method != "GET":
        texts |= CHANGES
    texts |= {status: REFUSALS[status] for status in route.refusals}
    if route.body is not None:
        texts |= WITH_BODY
    return responses | {str(status): {"description": texts[status], "content": refusal} for status in sorted(texts)}


def _answer_schema(kind: str, returns: Returns, schemas: Json) -> Json:
    return _schema(returns.schema, schemas) if kind == "application/json" else {"type": "string"}


def _schema(of: Any, schemas: Json, *, keep: bool = True) -> Json:
    """The schema of a type; those that it refers to, and its own if it is kept, go to `schemas`."""
    if isinstance(of, str):
        return {"$ref": REFS + of}
    adapter: TypeAdapter[Any] = TypeAdapter(of)
    schema = adapter.json_schema(ref_template=REFS + "{model}")
    inner = schema.pop("$defs", {})
    named = keep and inspect.isclass(of) and "properties" in schema
    for name, one in (inner | ({of.__name__: schema} if named else {})).items():
        if schemas.setdefault(name, one) != one:
            raise ValueError(f"two schemas are called {name}")
    return {"$ref": REFS + of.__name__} if named else schema


def _moved(schema: Any) -> Any:
    """The schema of the config, with its definitions where OpenAPI has them."""
    if isinstance(schema, dict):
        return {
            key: value.replace("#/$defs/", REFS) if key == "$ref" else _moved(value) for key, value in schema.items()
        }
    return [_moved(item) for item in schema] if isinstance(schema, list) else schema


if __name__ == "__main__":
    print(json.dumps(document(), indent=2))
