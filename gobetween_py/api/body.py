"""From a request's body and query to checked data; huge, slow, nested and nonsensical ones are refused."""

from __future__ import annotations

import asyncio
import json
from typing import NoReturn, TypeVar

from aiohttp import web
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from pydantic import BaseModel, ValidationError

from gobetween_py.api.refusal import Refusal
from gobetween_py.config import ConfigErrors
from gobetween_py.config.sources import json_table, json_table_without_nulls
from gobetween_py.config.validate import Validation
from gobetween_py.config.wording import problems_of

LARGEST = 1 << 20
"""Bytes of a body."""

PATIENCE = 10.0
"""Seconds that a body may take."""

Model = TypeVar("Model", bound=BaseModel)


async def read_json(request: web.Request, *, nulls: bool = True) -> object:
    """The body as JSON, whatever type it says it has, as gobetween does.

    Args:
        nulls: whether a null is a value; else it is no key at all: so gobetween lists what is not set in a config.

    Raises:
        Refusal: 400 it is no JSON, 408 too slow, 413 too large, 415 compressed.
    """
    if request.headers.get("Content-Encoding", "identity") != "identity":
        raise Refusal(415, "a compressed body is not taken")
    if (request.content_length or 0) > LARGEST:
        raise _too_large()
    data = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for piece in request.content.iter_any():
                data += piece
                if len(data) > LARGEST:
                    raise _too_large()
    except TimeoutError:
        raise Refusal(408, f"the body did not come within {PATIENCE:g} s", headers={"Connection": "close"}) from None
    except (HTTPRequestEntityTooLarge, web.RequestPayloadError) as error:
        raise Refusal(400, "the body is not as its header says") from error
    # In a thread, as what is done with it: a megabyte can take a tenth of a second.
    return await asyncio.to_thread(parse_json, data, nulls=nulls)


def parse_json(data: bytes | bytearray, *, nulls: bool = True) -> object:
    """Plain data. Raises Refusal 400 that says where it is no JSON."""
    table = json_table if nulls else json_table_without_nulls
    try:
        return json.loads(data.decode(), object_pairs_hook=table, parse_constant=_no_number)
    except UnicodeDecodeError:
        raise Refusal(400, "the body is not text in UTF-8") from None
    except json.JSONDecodeError as error:
        raise Refusal(400, f"the body is no JSON: line {error.lineno}, column {error.colno}: {error.msg}") from None
    except RecursionError:
        raise Refusal(400, "the body is nested too deeply") from None
    except ValueError as error:
        raise Refusal(400, f"the body is no JSON: {error}") from None


def checked(model: type[Model], data: object) -> Model:
    """The data as a section of the config would be checked. Raises Refusal 422 with everything that is wrong."""
    run = Validation()
    section = run.section(model, data)
    if section is None or run.problems:
        raise refused(ConfigErrors(run.problems))
    return section


def checked_query(model: type[Model], request: web.Request) -> Model:
    """The query. Raises Refusal 400 with everything that is wrong; an unknown key is wrong."""
    query = request.query
    twice = sorted({key for key in query if len(query.getall(key)) > 1})
    if twice:
        raise Refusal(400, f"the query has {', '.join(map(repr, twice))} more than once")
    given = dict(query)
    try:
        return model.model_validate(given)
    except ValidationError as error:
        problems = problems_of(error.errors(include_url=False), (), model, given)
        raise Refusal(400, "the query is wrong", problems) from None


def refused(errors: ConfigErrors) -> Refusal:
    """What is wrong with data that was sent."""
    count = len(errors.problems)
    return Refusal(422, f"{count} thing{'s are' if count > 1 else ' is'} wrong; nothing was changed", errors.problems)


def _too_large() -> Refusal:
    return Refusal(413, f"the body is larger than {LARGEST >> 20} MiB", headers={"Connection": "close"})


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number")
