"""Answers in JSON, laid out as gobetween's, and written a piece at a time: other work gets its turns in between."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from itertools import chain

from aiohttp import web

from discovery.slices import sliced
from gobetween_py.web import SLICE, stream

JSON = "application/json; charset=utf-8"
INDENT = 4
PIECE = 32_768
"""Characters sent at once."""

_encoder = json.JSONEncoder(indent=INDENT, ensure_ascii=False)


def small(data: object, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """An answer that is made in one go."""
    text = _encoder.encode(data) + "\n"
    return web.Response(body=text.encode(), status=status, headers={"Content-Type": JSON, **(headers or {})})


async def whole(
    request: web.Request, data: object, status: int = 200, headers: Mapping[str, str] | None = None
) -> web.StreamResponse:
    """An answer of any size whose data is there already."""
    pieces = _pieces(chain(_encoder.iterencode(data), "\n"))
    return await stream(request, pieces, JSON, status=status, headers=headers)


async def listing(
    request: web.Request, head: Mapping[str, object], key: str, items: Iterable[object]
) -> web.StreamResponse:
    """`{...head, key: [...items]}`, where the items are made while they are sent."""
    return await stream(request, _pieces(_listed(head, key, items)), JSON)


async def table(request: web.Request, entries: Iterable[tuple[str, object]]) -> web.StreamResponse:
    """`{key: value, ...}`, where the values are made while they are sent."""
    return await stream(request, _pieces(_tabled(entries)), JSON)


async def text(request: web.Request, chunks: Iterable[str], content_type: str) -> web.StreamResponse:
    """An answer that is no JSON."""
    return await stream(request, _pieces(chunks), content_type)


def when(seconds: float) -> str:
    """UNIX time as RFC 3339, in UTC."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _listed(head: Mapping[str, object], key: str, items: Iterable[object]) -> Iterator[str]:
    inner = " " * INDENT
    yield "{" + "".join(f"\n{inner}{json.dumps(name)}: {_encoder.encode(value)}," for name, value in head.items())
    yield f"\n{inner}{json.dumps(key)}: ["
    comma = ""
    for item in items:
        # A line break can only be one of the layout: in texts it is written \n.
        yield f"{comma}\n{inner * 2}" + _encoder.encode(item).replace("\n", f"\n{inner * 2}")
        comma = ","
    yield f"\n{inner}]\n}}\n" if comma else "]\n}\n"


def _tabled(entries: Iterable[tuple[str, object]]) -> Iterator[str]:
    inner = " " * INDENT
    comma = "{"
    for key, value in entries:
        yield f"{comma}\n{inner}{_encoder.encode(key)}: "
        for chunk in _encoder.iterencode(value):
            yield chunk.replace("\n", f"\n{inner}")
        comma = ","
    yield "{}\n" if comma == "{" else "\n}\n"


async def _pieces(chunks: Iterable[str]) -> AsyncIterator[bytes]:
    held: list[str] = []
    size = 0
    async for chunk in sliced(chunks, SLICE):
        held.append(chunk)
        size += len(chunk)
        if size >= PIECE:
            yield "".join(held).encode()
            held, size = [], 0
    if held:
        yield "".join(held).encode()
