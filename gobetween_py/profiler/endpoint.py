"""GET /profile, /tasks, /memory, and / with links to them."""

from __future__ import annotations

import asyncio
import math
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from gobetween_py.config import Bind
from gobetween_py.profiler import memory, sampling, tasks
from gobetween_py.web import Site

SECONDS = 10.0
"""How long is measured when the request does not say."""

MOST_SECONDS = 60.0

PAGE = """\
<!DOCTYPE html>
<meta charset="utf-8">
<title>pygobetween: profiler</title>
<h1>pygobetween: profiler</h1>
<ul>
<li><a href="profile?seconds=10">/profile?seconds=10</a>: where the time goes, as a flame graph;
<a href="profile?seconds=10&amp;format=html">format=html</a> to click through,
<a href="profile?seconds=10&amp;format=speedscope">format=speedscope</a> for speedscope.app,
<a href="profile?seconds=10&amp;format=text">format=text</a>
<li><a href="tasks">/tasks</a>: what the coroutines wait for
<li><a href="memory?seconds=10">/memory?seconds=10</a>: what is allocated meanwhile and still there at the end
</ul>
"""


class Endpoint(Site):
    """The profiler, on a bind of its own.

    Raises:
        BindError: from the constructor.
    """

    def __init__(self, bind: Bind, *, sock: socket.socket | None = None) -> None:
        app = web.Application()
        app.router.add_get("/", self._page)
        app.router.add_get("/profile", self._profile)
        app.router.add_get("/tasks", self._tasks)
        app.router.add_get("/memory", self._memory)
        super().__init__("profiler", app, bind, sock=sock)
        self._measuring = False

    async def _page(self, _request: web.Request) -> web.Response:
        return web.Response(text=PAGE, content_type="text/html")

    async def _profile(self, request: web.Request) -> web.Response:
        seconds = _seconds(request)
        form = request.query.get("format", "flamegraph")
        if form not in sampling.FORMATS:
            raise web.HTTPBadRequest(text=f"format {form[:40]!r} is not one of {', '.join(sampling.FORMATS)}\n")
        async with self._alone():
            try:
                session = await sampling.sample(seconds)
            except sampling.NotInstalledError as error:
                raise web.HTTPNotImplemented(text=f"{error}\n") from None
            content_type, render = sampling.FORMATS[form]
            # In a thread: it takes a tenth of a second for each ten seconds of samples.
            return web.Response(text=await asyncio.to_thread(render, session), content_type=content_type)

    async def _tasks(self, _request: web.Request) -> web.Response:
        return web.Response(text=tasks.report(asyncio.all_tasks()))

    async def _memory(self, request: web.Request) -> web.Response:
        seconds = _seconds(request)
        async with self._alone():
            return web.Response(text=await memory.report(seconds))

    @asynccontextmanager
    async def _alone(self) -> AsyncIterator[None]:
        """Two measurements at a time would measure each other."""
        if self._measuring:
            raise web.HTTPConflict(text="something is being measured already: try again when it is through\n")
        self._measuring = True
        try:
            yield
        finally:
            self._measuring = False


def _seconds(request: web.Request) -> float:
    text = request.query.get("seconds", str(SECONDS))
    try:
        seconds = float(text)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds <= MOST_SECONDS:
        raise web.HTTPBadRequest(text=f"seconds {text[:40]!r} is not a number above 0, up to {MOST_SECONDS:g}\n")
    return seconds
