"""HTTP on a listening socket of ours, in the event loop that relays too: what the API and the metrics are served by.

A client can hold little and for a bounded time: so many connections, a header within IDLE seconds, an answer taken
piece by piece, each within WRITE seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import ssl
from collections.abc import AsyncIterable, Mapping

from aiohttp import web

from gobetween_py.bind import listen_on
from gobetween_py.config import Bind

log = logging.getLogger("pygobetween.web")

CONNECTIONS = 256
"""Connections of one site at once; more are closed at once, because each takes a file descriptor from the relays."""

IDLE = 30.0
"""Seconds for a request's header, and between two requests of a connection."""

WRITE = 30.0
"""Seconds a client may take to make room for the next piece of an answer."""

SLICE = 0.0005
"""Seconds that answers are made at a time: a relayed round trip waits twice as long, and no answer is urgent."""

STOP = 1.0
"""Seconds that requests may go on when the site is stopped."""


class CertificateError(Exception):
    """A certificate cannot be used. The message names the section of the config and the reason."""


class Site:
    """An application on a socket.

    Life: construct (binds and listens; clients wait in the backlog) -> start -> leave -> stop.

    Args:
        name: for the log, "API" or "metrics".
        tls: https with this context; None = http.
        sock: listens on the bind already.

    Raises:
        BindError: from the constructor.
    """

    def __init__(
        self,
        name: str,
        app: web.Application,
        bind: Bind,
        tls: ssl.SSLContext | None = None,
        *,
        sock: socket.socket | None = None,
    ) -> None:
        self.name = name
        self.bind = bind
        self.socket = sock or listen_on(bind)
        self.socket.setblocking(False)
        self._tls = tls
        self._leaving = False
        app.on_response_prepare.append(self._say_goodbye)
        # Compressed bodies would be unpacked before anybody could say that they are too large.
        self._runner = web.AppRunner(
            app, access_log=None, keepalive_timeout=IDLE, handler_cancellation=True, auto_decompress=False
        )
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Answer requests."""
        await self._runner.setup()
        loop = asyncio.get_running_loop()
        if self.bind.path:
            self._server = await loop.create_unix_server(self._protocol, sock=self.socket, ssl=self._tls)
        else:
            self._server = await loop.create_server(self._protocol, sock=self.socket, ssl=self._tls)
        log.info("%s on %s%s", self.name, self.bind, ", TLS" if self._tls else "")

    def leave(self) -> None:
        """It is going to be stopped: from now on each answer is the last one of its connection, and says so."""
        self._leaving = True

    async def stop(self, *, replaced: bool = False) -> None:
        """Close the socket and all connections; requests under way get a moment to end.

        Args:
            replaced: another site listens on a duplicate of the socket.
        """
        if self._server is not None:
            self._server.close()
        self.socket.close()
        if self.bind.path and not replaced:
            with contextlib.suppress(OSError):
                os.unlink(self.bind.path)
        if self._runner.server is not None:
            self._runner.server.pre_shutdown()
            await self._runner.server.shutdown(STOP)
        await self._runner.cleanup()

    @property
    def port(self) -> int:
        """The port it listens on, also where the config says any (0)."""
        port: int = self.socket.getsockname()[1]
        return port

    async def _say_goodbye(self, _request: web.Request, response: web.StreamResponse) -> None:
        if self._leaving:
            response.headers["Connection"] = "close"
            response.force_close()

    def _protocol(self) -> asyncio.Protocol:
        server = self._runner.server
        assert server is not None
        return TurnAway() if len(server.connections) >= CONNECTIONS else server()


class TurnAway(asyncio.Protocol):
    """Closes the connection: there are too many."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.abort()


async def stream(
    request: web.Request,
    pieces: AsyncIterable[bytes],
    content_type: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
) -> web.StreamResponse:
    """Answer with a body that is made while it is sent. A client that stops reading is cut off."""
    response = web.StreamResponse(status=status, headers={"Content-Type": content_type, **(headers or {})})
    try:
        await response.prepare(request)
        if request.method == "HEAD":  # aiohttp would send the body all the same
            return response
        async for piece in pieces:
            async with asyncio.timeout(WRITE):
                await response.write(piece)
        async with asyncio.timeout(WRITE):
            await response.write_eof()
    except (ConnectionError, asyncio.CancelledError):
        raise
    except Exception as error:
        if not isinstance(error, TimeoutError):
            log.exception("defect in %s %s", request.method, request.path)
        if request.transport is not None:  # a body that is cut off must not look whole
            request.transport.abort()
    return response
