"""The description says what there is; the page shows it."""

import json
import re

import jsonschema

from gobetween_py.api.openapi import document
from gobetween_py.api.routes import ROUTES
from tests.gobetween_py.running import API, Running

DOCUMENT = document()


def references(of: object) -> list[str]:
    if isinstance(of, dict):
        here = [of["$ref"]] if isinstance(of.get("$ref"), str) else []
        return here + [ref for value in of.values() for ref in references(value)]
    return [ref for value in of for ref in references(value)] if isinstance(of, list) else []


def test_every_route_is_described() -> None:
    described = {(method.upper(), path) for path, methods in DOCUMENT["paths"].items() for method in methods}
    assert described == {(route.method, route.path) for route in ROUTES}


def test_every_reference_leads_somewhere() -> None:
    assert {ref.removeprefix("#/components/schemas/") for ref in references(DOCUMENT)} <= {
        *DOCUMENT["components"]["schemas"]
    }


def test_every_schema_is_one() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema.Draft202012Validator.check_schema(schema)


def test_operations_have_names_of_their_own_and_a_summary() -> None:
    operations = [operation for methods in DOCUMENT["paths"].values() for operation in methods.values()]
    assert len({operation["operationId"] for operation in operations}) == len(operations)
    assert all(operation["summary"] for operation in operations)


async def test_the_description_is_served_and_made_once() -> None:
    async with Running(API) as running:
        first = await running.get("/openapi.json")
        assert first == json.loads(json.dumps(DOCUMENT))
        assert await running.get("/openapi.json") == first


async def test_the_page_needs_nothing_from_elsewhere() -> None:
    async with Running(API) as running:
        reply = await running.call("GET", "/docs")
        assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
        assert "default-src 'none'" in reply.headers["Content-Security-Policy"]
        assert not re.search(r"https?://", reply.body)
        assert "innerHTML" not in reply.body
