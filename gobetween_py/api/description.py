"""The API described: for programs at /openapi.json, and a page to try it at /docs."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from pathlib import Path

from aiohttp import web

from gobetween_py.api import reply
from gobetween_py.api.refusal import Refusal
from gobetween_py.api.route import Call

log = logging.getLogger("pygobetween.api")

PAGE = Path(__file__).with_name("page.html")
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_making: list[asyncio.Task[bytes]] = []
"""At most one: it is made once, at the first request."""


async def openapi(call: Call) -> web.StreamResponse:
    """This description, as OpenAPI 3.1."""
    if not _making:
        _making.append(asyncio.create_task(_make()))
    try:
        text = await asyncio.shield(_making[0])
    except OSError as error:
        _making.clear()
        raise Refusal(503, f"the description cannot be made: {error}") from error
    return web.Response(body=text, headers={"Content-Type": reply.JSON})


async def page(call: Call) -> web.StreamResponse:
    """A page to try the API in a browser."""
    headers = {"Content-Type": "text/html; charset=utf-8", "Content-Security-Policy": POLICY}
    return web.Response(body=PAGE.read_bytes(), headers=headers)


async def _make() -> bytes:
    """In a process of its own: the schemas of all kinds take 0.2 s, for which no relay should wait."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gobetween_py.api.openapi"),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
    )
    text, _ = await process.communicate()
    if process.returncode:
        raise ChildProcessError("its process failed; stderr tells more")
    return text
