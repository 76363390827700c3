"""A data plane on loopback, without config or discovery: clients and backends are sockets that the test drives."""

from __future__ import annotations

import asyncio
import socket
from typing import Self

from balancer import ACTIVE, BackendSpec, Counters, Pool
from gobetween_py.bind import listen
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.listener import Listener
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.settings import Settings

PATIENCE = 10.0
"""Seconds until a test that waits in vain fails."""


class Rig:
    """A listener over `backends` listening sockets, picked in turn: `rig.backends[0]` first.

    Use as `async with`; at the end it asserts that everything was given back.
    """

    def __init__(
        self, backends: int = 1, *, settings: Settings | None = None, access: Access | None = None, dead: int = 0
    ) -> None:
        self.settings = settings or Settings()
        self.access = access
        self.backends = [_listening() for _ in range(backends)]
        self._dead = dead

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.reactor = Reactor(self.loop)
        self.counters = Counters()
        self.pool = Pool("roundrobin", self.counters)
        ports = [sock.getsockname()[1] for sock in self.backends]
        for _ in range(self._dead):  # a port that nobody listens on
            with _listening() as gone:
                ports.append(gone.getsockname()[1])
        for backend in self.pool.update(BackendSpec("127.0.0.1", port) for port in ports).added:
            self.pool.set_resolved(backend, socket.AF_INET, ("127.0.0.1", backend.port))
        sock = listen("127.0.0.1", 0)
        self.address = sock.getsockname()
        self.listener = Listener(
            "rig", sock, self.reactor, self.pool, self.counters, settings=self.settings, access=self.access
        )
        return self

    async def __aexit__(self, failed: object, *_: object) -> None:
        self.listener.stop_accepting()
        if failed is None:
            await self.until(lambda: not self.listener.connections)
            assert not self.reactor.handlers
            assert sum(self.counters.values[b.row + ACTIVE] for b in self.pool.backends) == 0
            assert self.counters.values[self.listener.row + ACTIVE] == 0
        self.listener.close_connections()
        self.reactor.close()
        assert self.reactor.pipes.open == 0
        for sock in self.backends:
            sock.close()

    async def connect(self) -> socket.socket:
        """A client."""
        sock = socket.socket()
        sock.setblocking(False)
        async with asyncio.timeout(PATIENCE):
            await self.loop.sock_connect(sock, self.address)
        return sock

    async def accept(self, backend: int = 0) -> socket.socket:
        """The backend's end of the next connection."""
        async with asyncio.timeout(PATIENCE):
            sock, _ = await self.loop.sock_accept(self.backends[backend])
        return sock

    async def pair(self) -> tuple[socket.socket, socket.socket]:
        """A client and its backend's end."""
        return await self.connect(), await self.accept()

    async def send(self, sock: socket.socket, data: bytes) -> None:
        """Send all of it."""
        async with asyncio.timeout(PATIENCE):
            await self.loop.sock_sendall(sock, data)

    async def receive(self, sock: socket.socket, size: int = 65_536) -> bytes:
        """What is there, b"" at the end."""
        async with asyncio.timeout(PATIENCE):
            return await self.loop.sock_recv(sock, size)

    async def receive_all(self, sock: socket.socket) -> bytes:
        """Everything until the end."""
        parts = []
        while part := await self.receive(sock):
            parts.append(part)
        return b"".join(parts)

    async def until(self, holds: object) -> None:
        """Wait for a condition (a callable)."""
        assert callable(holds)
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.005)


def _listening() -> socket.socket:
    sock = socket.create_server(("127.0.0.1", 0))
    sock.setblocking(False)
    return sock
