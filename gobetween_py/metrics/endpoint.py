"""GET /metrics."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping

from aiohttp import web
from prometheus_client import Metric
from prometheus_client.process_collector import ProcessCollector

from gobetween_py.config import Bind
from gobetween_py.metrics.exposition import CONTENT_TYPE, exposition
from gobetween_py.metrics.families import pieces
from gobetween_py.metrics.lag import Lag
from gobetween_py.reload import Status
from gobetween_py.server import Server
from gobetween_py.web import Site, stream


class Endpoint(Site):
    """The metrics of what runs, on a bind of their own.

    Args:
        servers: by name; looked at anew for each scrape.

    Raises:
        BindError: from the constructor.
    """

    def __init__(
        self, bind: Bind, servers: Mapping[str, Server], reloads: Status, *, sock: socket.socket | None = None
    ) -> None:
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        super().__init__("metrics", app, bind, sock=sock)
        self._servers = servers
        self._reloads = reloads
        self._lag = Lag(asyncio.get_running_loop())

    async def stop(self, *, replaced: bool = False) -> None:
        self._lag.close()
        await super().stop(replaced=replaced)

    async def _scrape(self, request: web.Request) -> web.StreamResponse:
        return await stream(request, self._text(), CONTENT_TYPE)

    async def _text(self) -> AsyncIterator[bytes]:
        # In a thread, because it counts our open files one by one.
        async for text in exposition(await asyncio.to_thread(_of_process)):
            yield text
        async for text in exposition(pieces(self._servers.values(), self._reloads, self._lag)):
            yield text


def _of_process() -> list[Metric]:
    """CPU seconds, memory, open files and their limit, start time: Prometheus' standard names."""
    return [*ProcessCollector(registry=None).collect()]
