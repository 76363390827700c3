"""A config that runs in the test's own event loop, and clients of it."""

from __future__ import annotations

import asyncio
import json
import signal
import socket
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple, Self

import aiohttp

from gobetween_py.app import App
from gobetween_py.config import load
from gobetween_py.server import Server
from gobetween_py.sources.contract import Source

PATIENCE = 15.0
"""Seconds until a test that waits in vain fails."""

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1)

API = '[api]\nenabled = true\nbind = "127.0.0.1:0"\n'
METRICS = '[metrics]\nenabled = true\nbind = "127.0.0.1:0"\n'


def server(name: str, *backends: str, extra: str = "") -> str:
    """A server on a free port before static backends; `extra` are further lines of its section."""
    return (
        f'[servers.{name}]\nbind = "127.0.0.1:0"\nshutdown_timeout = "0"\n{extra}\n'
        f'[servers.{name}.discovery]\nkind = "static"\nstatic_list = {json.dumps(backends)}\n'
    )


class Reply(NamedTuple):
    """An answer of the API; `body` is what its JSON says, or text."""

    status: int
    body: Any
    headers: Mapping[str, str]


class Running:
    """An App with the config of a text, until the end of `async with`; backends are sockets of the test's."""

    def __init__(self, config: str, *, source: Source | None = None) -> None:
        self.app = App(load(config), source)

    async def __aenter__(self) -> Self:
        self._before = {number: signal.getsignal(number) for number in SIGNALS}
        self._run = asyncio.create_task(self.app.run())
        self.session = aiohttp.ClientSession(trust_env=False)
        await self.until(lambda: self._run.done() or self._started)
        if self._run.done():
            await self._run
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.session.close()
        self._run.cancel()
        await asyncio.gather(self._run, return_exceptions=True)
        loop = asyncio.get_running_loop()
        for number, handler in self._before.items():
            loop.remove_signal_handler(number)
            signal.signal(number, handler)

    @property
    def _started(self) -> bool:
        config, servers = self.app.config, self.app.servers
        sites = {key for key in ("api", "metrics") if getattr(config, key).enabled}
        listening = [name for name, running in servers.items() if running.listener]
        return listening == [*config.servers] and sites <= {*self.app.sites}

    async def until(self, holds: object) -> None:
        """Wait for a condition (a callable)."""
        assert callable(holds)
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.005)

    @property
    def web(self) -> Server:
        """The server of that name."""
        return self.app.servers["web"]

    @property
    def port(self) -> int:
        """Where the API is."""
        return self.app.sites["api"].port

    async def call(
        self, method: str, path: str, body: object = None, *, headers: Mapping[str, str] | None = None, at: str = "api"
    ) -> Reply:
        """Ask the API; a body of bytes is sent as it is, any other as JSON."""
        data = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        url = f"http://127.0.0.1:{self.app.sites[at].port}{path}"
        async with asyncio.timeout(PATIENCE), self.session.request(method, url, data=data, headers=headers) as answer:
            text = await answer.text()
            is_json = answer.content_type == "application/json" and method != "HEAD"
            return Reply(answer.status, json.loads(text) if is_json else text, answer.headers)

    async def get(self, path: str) -> Any:
        """What a path answers with; 200 is expected."""
        reply = await self.call("GET", path)
        assert reply.status == 200, reply
        return reply.body

    async def connect(self, name: str = "web") -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client of a server."""
        async with asyncio.timeout(PATIENCE):
            return await asyncio.open_connection("127.0.0.1", self.app.servers[name].port)


class Echo:
    """A backend that sends back what it gets, until the client ends."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.socket.getsockname()[1]
        self.line = f"127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._echo, sock=self.socket)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(65_536):
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()


async def exchange(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, data: bytes = b"hello") -> None:
    """Send something to an Echo, and have it back."""
    writer.write(data)
    async with asyncio.timeout(PATIENCE):
        assert await reader.readexactly(len(data)) == data


async def is_cut(reader: asyncio.StreamReader) -> bool:
    """Whether the other side breaks the connection off; waits for it."""
    try:
        async with asyncio.timeout(PATIENCE):
            while await reader.read(65_536):
                pass
    except ConnectionError:
        return True
    return False
