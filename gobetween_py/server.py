"""One running server: its pool, what fills it, and the listener that draws on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Sequence

from balancer import BackendSpec, Counters, Pool
from discovery.loop import Loop
from discovery.registry import load
from discovery.slices import finished, sliced
from gobetween_py import bind
from gobetween_py.config import Server as ServerConfig
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.listener import Listener, Settings
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.resolve import Resolver, literal

log = logging.getLogger("pygobetween.server")

TICK = 1.0
"""Seconds between two takings of the rates."""

FIRST_ANSWER = 5.0
"""Seconds that accepting waits for discovery's first answer, good or bad, and for the names in it."""


class Server:
    """`[servers.NAME]`, running.

    Life: construct (binds and listens, but accepts nothing before `start`) -> start -> stop_accepting -> stop.

    Raises:
        BindError: from the constructor.
    """

    def __init__(self, name: str, config: ServerConfig, reactor: Reactor, counters: Counters) -> None:
        self.name = name
        self.config = config
        self.pool = Pool(config.balance, counters, priority_tiers=config.priority_tiers, locate=literal)
        self.resolver = Resolver(name, self.pool)
        options = config.discovery
        self.discovery = Loop(load(options.kind)(options), options, self._apply, name=name)
        self._reactor = reactor
        self.counters = counters
        self._socket = (
            bind.listen_unix(config.bind.path) if config.bind.path else bind.listen(config.bind.host, config.bind.port)
        )
        self._tasks: list[asyncio.Task[None]] = []
        self.listener: Listener | None = None

    async def start(self) -> None:
        """Discover, resolve, count; accept once there is a first answer. Until then clients wait in the backlog."""
        config = self.config
        self._tasks = [
            asyncio.create_task(work, name=f"{self.name}: {what}")
            for what, work in (
                ("discovery", self.discovery.run()),
                ("resolver", self.resolver.run()),
                ("rates", self._tick()),
            )
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER):
                await self.discovery.begun.wait()
                await self.resolver.settled.wait()
        self.listener = Listener(
            self.name,
            self._socket,
            self._reactor,
            self.pool,
            self.counters,
            settings=Settings(
                max_connections=config.max_connections,
                client_idle_timeout=config.client_idle_timeout,
                backend_idle_timeout=config.backend_idle_timeout,
                backend_connection_timeout=config.backend_connection_timeout,
                connect_attempts=config.connect_attempts,
            ),
            access=_access(config),
            next_address=self.resolver.next_address,
        )
        kind = config.discovery.kind
        log.info("%s: listening on %s, balance %s, discovery %s", self.name, config.bind, config.balance, kind)

    @property
    def port(self) -> int:
        """The port it listens on, also where the config says any (0)."""
        port: int = self._socket.getsockname()[1]
        return port

    @property
    def open_connections(self) -> int:
        """Connections that have not ended."""
        return len(self.listener.connections) if self.listener else 0

    def stop_accepting(self) -> None:
        """Close the listening socket and end discovery; open connections go on."""
        if self.listener:
            self.listener.stop_accepting()
        self._socket.close()
        if self.config.bind.path:
            with contextlib.suppress(OSError):
                os.unlink(self.config.bind.path)

    async def stop(self) -> int:
        """Close what is still open; returns how many connections that was."""
        closed = self.listener.close_connections() if self.listener else 0
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        return closed

    async def _apply(self, specs: Sequence[BackendSpec]) -> None:
        change = await finished(self.pool.updating(specs))
        self.resolver.take(change.added)
        async for _ in sliced(self.pool.pending):
            pass

    async def _tick(self) -> None:
        loop = asyncio.get_running_loop()
        last = loop.time()
        while True:
            await asyncio.sleep(TICK)
            now = loop.time()
            self.pool.tick(now - last)
            last = now
            async for _ in sliced(self.pool.pending):
                pass


def _access(config: ServerConfig) -> Access | None:
    """The server's rules; None when everybody may connect, so that nobody is asked."""
    access = config.access
    allowed = access.default == "allow"
    if allowed and not access.rules:
        return None
    return Access(((rule.allow, rule.network) for rule in access.rules), default=allowed)
