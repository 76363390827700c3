"""An HTTP server in the test's own event loop, which answers as the test says."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from aiohttp import web

Answer = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Web:
    """What it was asked, and what it answers; `answer` may be replaced at any time."""

    def __init__(self) -> None:
        self.requests: list[web.BaseRequest] = []
        self.connections: set[object] = set()
        self.port = 0
        self.body = b"[]"
        self.headers: dict[str, str] = {}
        self.answer: Answer = self._answer
        self.over = asyncio.Event()

    async def _answer(self, _request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=self.body, headers=self.headers)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.requests.append(request)
        self.connections.add(request.transport)
        return await self.answer(request)

    async def silent(self, _request: web.BaseRequest) -> web.StreamResponse:
        """An answer that does not come before the test is over."""
        await self.over.wait()
        return web.Response()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"


@contextlib.asynccontextmanager
async def serving(context: ssl.SSLContext | None = None, socket: Path | None = None) -> AsyncIterator[Web]:
    """Serves on a free loopback port, or a UNIX socket."""
    server = Web()
    runner = web.ServerRunner(web.Server(server.handle), shutdown_timeout=0)
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    site = web.UnixSite(runner, socket) if socket else tcp
    await site.start()
    if not socket:
        server.port = runner.addresses[0][1]
    try:
        yield server
    finally:
        server.over.set()
        await runner.cleanup()


async def endless(request: web.BaseRequest) -> web.StreamResponse:
    """A gigabyte of zeros, or as much of it as anybody reads."""
    response = web.StreamResponse()
    await response.prepare(request)
    block = bytes(1 << 20)
    for _ in range(1024):
        await response.write(block)
    return response


def saying(body: bytes, status: int = 200) -> Answer:
    """Always the same answer."""

    async def answer(_request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=body, status=status)

    return answer


HOSTILE: dict[str, Answer] = {
    "deeply nested": saying(b"[" * 4_000_000),
    "wide": saying(b"[[" + b"1," * 4_000_000 + b"1]]"),
    "binary": saying(bytes(range(256)) * 4096),
    "torn": saying(b'[{"Names": ["/a"], '),
    "an error": saying(b"out of order", status=503),
    "a gigabyte": endless,
}
"""What no server of a JSON API should say."""
