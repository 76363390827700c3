"""UDP on loopback, without config or discovery: clients and backends are sockets that the test drives."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Self

from balancer import ACTIVE, Backend, BackendSpec, Counters, Pool
from gobetween_py.bind import listen
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.udp.listener import UdpListener

PATIENCE = 10.0
"""Seconds until a test that waits in vain fails."""

SILENCE = 0.15
"""Seconds after which nothing more is expected to arrive."""

LARGEST = 65_536


class UdpRig:
    """A listener over `backends` sockets, picked in turn: `rig.backends[0]` first. Dead ones come before them.

    Use as `async with`; at the end it asserts that everything was given back.
    """

    def __init__(
        self,
        backends: int = 1,
        *,
        host: str = "127.0.0.1",
        settings: Settings | None = None,
        access: Access | None = None,
        dead: int = 0,
        balance: str = "roundrobin",
    ) -> None:
        self.host = host
        self.settings = settings or Settings(client_idle_timeout=60)
        self.access = access
        self.balance = balance
        family = socket.AF_INET6 if host == "::1" else socket.AF_INET
        self.backend_host = "::1" if host == "::1" else "127.0.0.1"
        # The pool sorts by address as text, in which ports of five digits stand as they do as numbers.
        socks = sorted((self.bound(family) for _ in range(dead + backends)), key=lambda sock: sock.getsockname()[1])
        self.ports = [sock.getsockname()[1] for sock in socks]
        self.family = family
        for sock in socks[:dead]:
            sock.close()
        self.backends = socks[dead:]
        self._clients: list[socket.socket] = []

    def bound(self, family: int = socket.AF_INET) -> socket.socket:
        """A socket on a free port of loopback."""
        sock = socket.socket(family, socket.SOCK_DGRAM)
        sock.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
        sock.setblocking(False)
        return sock

    async def __aenter__(self) -> Self:
        self.loop = asyncio.get_running_loop()
        self.reactor = Reactor(self.loop)
        self.counters = Counters()
        self.pool = Pool(self.balance, self.counters)
        self.pool.update([BackendSpec(self.backend_host, port) for port in self.ports])
        for backend in self.pool.backends:
            self.pool.set_resolved(backend, self.family, (backend.host, backend.port))
        sock = listen(self.host, 0, transport="udp")
        self.address = sock.getsockname()
        self.listener = UdpListener(
            "rig", sock, self.reactor, self.pool, self.counters, settings=self.settings, access=self.access
        )
        return self

    async def __aexit__(self, failed: object, *_: object) -> None:
        self.listener.stop_accepting()
        self.listener.close_connections()
        if failed is None:
            assert not self.reactor.handlers
            assert not self.listener.connections
            assert sum(self.counters.values[b.row + ACTIVE] for b in self.pool.backends) == 0
            assert self.counters.values[self.listener.row + ACTIVE] == 0
        self.reactor.close()
        for sock in (*self.backends, *self._clients):
            sock.close()

    def backend(self, number: int = 0) -> Backend:
        """What the pool knows of a backend, the dead ones first."""
        return next(b for b in self.pool.backends if b.port == self.ports[number])

    def count(self, column: int) -> list[int]:
        """A column of the counters, of each backend."""
        return [self.counters.values[self.backend(number).row + column] for number in range(len(self.ports))]

    def client(self, *, to: Any = None) -> socket.socket:
        """A client's socket, connected to the listener."""
        target = to or self.address
        sock = socket.socket(socket.AF_INET6 if ":" in target[0] else socket.AF_INET, socket.SOCK_DGRAM)
        sock.setblocking(False)
        sock.connect(target)
        self._clients.append(sock)
        return sock

    async def take(self, sock: socket.socket) -> tuple[bytes, Any]:
        """The next datagram, and where it came from."""
        async with asyncio.timeout(PATIENCE):
            return await self.loop.sock_recvfrom(sock, LARGEST)

    async def receive(self, sock: socket.socket) -> bytes:
        """The next datagram."""
        return (await self.take(sock))[0]

    async def ask(self, client: socket.socket, data: bytes, backend: int = 0) -> bytes:
        """Send a datagram, have the backend answer it with "re: " before it, and return what the client gets."""
        client.send(data)
        taken, peer = await self.take(self.backends[backend])
        self.backends[backend].sendto(b"re: " + taken, peer)
        return await self.receive(client)

    async def silent(self, *socks: socket.socket) -> bool:
        """Whether nothing arrives at these sockets."""
        await asyncio.sleep(SILENCE)
        for sock in socks:
            try:
                sock.recv(LARGEST)
            except BlockingIOError:
                continue
            return False
        return True

    async def until(self, holds: Callable[[], object]) -> None:
        """Wait for a condition."""
        async with asyncio.timeout(PATIENCE):
            while not holds():
                await asyncio.sleep(0.005)
