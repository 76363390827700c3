"""One running server: its pool, what fills it, and the listener that draws on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from balancer import Backend, BackendSpec, Counters, Pool
from discovery.loop import Loop
from discovery.registry import load
from discovery.slices import finished, sliced
from gobetween_py.access_log import AccessLog, Writers
from gobetween_py.bind import listen_on
from gobetween_py.config import Bind
from gobetween_py.config import Server as ServerConfig
from gobetween_py.edits import Edits
from gobetween_py.healthcheck.health import Health
from gobetween_py.metrics.counted import Counted
from gobetween_py.overlay import Overlay
from gobetween_py.proxy.flow import Flow
from gobetween_py.proxy.front import Front
from gobetween_py.proxy.listener import Listener
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.udp.listener import UdpListener
from gobetween_py.resolve import Resolver, literal
from gobetween_py.settings import access_of, approach_of, check_source, settings_of
from gobetween_py.stages import introduces
from gobetween_py.tls.security import Security

log = logging.getLogger("pygobetween.server")

TICK = 1.0
"""Seconds between two takings of the rates."""

LOOK = 0.05
"""Seconds between looks at whether the last connection has ended."""

FIRST_ANSWER = 5.0
"""Seconds that accepting waits for discovery's first answer, good or bad, the names in it, and a first check."""


class Server:
    """`[servers.NAME]`, running.

    Life: construct (binds and listens, but accepts nothing before `start`) -> start -> change and move, any number of
    times -> hand_over, stop_accepting -> stop.

    Args:
        sock: listens on the config's bind already.
        writers: the outputs of the access log, shared with other servers.

    Attributes:
        bind: where it listens; the config's, except while that changes.
        overlay: what is set by hand about its backends; a change of it counts from the next `refresh` on.
        edits: makes such changes.
        access_log: what writes a line at the end of each connection; None = nothing does.
        counted: what is counted at the end of each connection, as far as `count_ends` says so.

    Raises:
        BindError, CertificateError: from the constructor.
    """

    def __init__(
        self,
        name: str,
        config: ServerConfig,
        reactor: Reactor,
        counters: Counters,
        *,
        sock: socket.socket | None = None,
        writers: Writers | None = None,
    ) -> None:
        check_source(name, config)
        self.name = name
        self.config = config
        self.pool = Pool(config.balance, counters, priority_tiers=config.priority_tiers, locate=literal)
        self.pool.initially_live = Health.initially_live(config.healthcheck)
        self.resolver = Resolver(name, self.pool)
        self.health = self.health_of(config)
        self.resolver.on_resolved = self.health.resolved
        self.overlay = Overlay(config.backends)
        self.edits = Edits(self)
        self._refreshing = asyncio.Lock()
        self.discovery = self.discovery_of(config)
        self.tls = self.tls_of(config)
        self._reactor = reactor
        self.counters = counters
        self.bind = config.bind
        self._sockets = {self.bind: sock or listen_on(self.bind, transport=config.transport)}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self.listener: Front[Any] | None = None
        self.counted = Counted()
        self._counting = False
        self._writers = writers or Writers(reactor.loop)
        self.access_log: AccessLog | None = None

    async def start(self) -> None:
        """Discover, resolve, count; accept once there is a first answer. Until then clients wait in the backlog."""
        await self.begin()
        self.listen()

    async def begin(self) -> None:
        """The part of `start` that takes time."""
        self._run("discovery", self.discovery.run())
        self._run("resolver", self.resolver.run())
        self._run("health", self.health.run())
        self._run("tls", self.tls.run())
        self._run("rates", self._tick())
        await self._first_answer()

    def listen(self) -> None:
        """The part of `start` after which clients are accepted."""
        config = self.config
        front = UdpListener if config.transport == "udp" else Listener
        self.listener = front(
            self.name,
            self._sockets[self.bind],
            self._reactor,
            self.pool,
            self.counters,
            settings=self._settings(config),
            access=access_of(config),
            next_address=self.resolver.next_address,
        )
        self.listener.on_refused = self.health.refused
        self.count_ends(self._counting)
        self._log_ends()
        kind = config.discovery.kind
        log.info("%s: listening on %s, balance %s, discovery %s", self.name, config.bind, config.balance, kind)

    async def change(
        self,
        config: ServerConfig,
        *,
        discovery: Loop | None = None,
        health: Health | None = None,
        tls: Security | None = None,
    ) -> None:
        """Take another config in place, of the same protocol: connections and backends stay, with all they count.

        Its bind is left to `move`.

        Args:
            discovery: from `discovery_of(config)`, where the options are others than before.
            health: from `health_of(config)`, likewise.
            tls: from `tls_of(config)`, likewise.
        """
        assert self.listener is not None
        before, self.config = self.config, config
        if (config.balance, config.priority_tiers) != (before.balance, before.priority_tiers):
            self.pool.set_algorithm(config.balance, priority_tiers=config.priority_tiers)
        if tls is not None:
            await self._end("tls")
            self.tls = tls
            self._run("tls", tls.run())
        self.listener.configure(self._settings(config))
        if config.backends != before.backends:
            self.overlay.change(before.backends, config.backends)
            await self.refresh()
        if config.access != before.access:
            self.listener.access = access_of(config)
        if config.access_log != before.access_log:
            self._log_ends()
        if health is not None:
            await self._end("health")
            async with self._refreshing:
                await health.take_over(self.health)
                self.health = health
                self.pool.initially_live = Health.initially_live(config.healthcheck)
            self.resolver.on_resolved = health.resolved
            self.listener.on_refused = health.refused
            self._run("health", health.run())
        if discovery is not None:
            await self._end("discovery")
            self.discovery = discovery
            self._run("discovery", discovery.run())
            await self._first_answer()

    def move(self, bind: Bind, sock: socket.socket) -> None:
        """Listen there from now on; clients that are on their way to the address before are still accepted."""
        assert self.listener is not None
        self._unlink(self.bind)
        self.bind, self._sockets = bind, {**self.sockets, bind: sock}
        self.listener.move(sock)

    def inherit(self, bind: Bind, sock: socket.socket) -> None:
        """Listen there too for a while: another server did, and this one's bind includes it."""
        assert self.listener is not None
        self._sockets[bind] = sock
        self.listener.inherit(sock)

    def count_ends(self, counting: bool) -> None:
        """Whether connections are counted at their end, for the metrics (0.6 µs each); may be called at any time."""
        self._counting = counting
        if self.listener is not None:
            others = tuple(told for told in self.listener.on_end if told is not self.counted)
            self.listener.on_end = (*others, self.counted) if counting else others

    def _log_ends(self) -> None:
        """Log connections at their end as the config says."""
        assert self.listener is not None
        before, self.access_log = self.access_log, None
        settings = self.config.access_log
        if settings and settings.enabled:
            self.access_log = now = AccessLog(self.name, settings, self._writers)
            self.listener.on_end += (now.ended,)
            self.listener.on_refusal = (now.refused,)
        if before:
            self.listener.on_end = tuple(told for told in self.listener.on_end if told != before.ended)
            self.listener.on_refusal = (self.access_log.refused,) if self.access_log else ()
            before.close()

    def discovery_of(self, config: ServerConfig) -> Loop:
        """What will discover as a config says. A kind of somebody else's may raise anything."""
        options = config.discovery
        return Loop(load(options.kind)(options), options, self._apply, name=self.name)

    def health_of(self, config: ServerConfig) -> Health:
        """What will judge the backends as a config says. A kind of somebody else's may raise anything."""
        return Health(
            self.name,
            config.healthcheck,
            self.pool,
            next_address=self.resolver.next_address,
            close_connections=self._break_off,
            approach=approach_of(config),
        )

    def tls_of(self, config: ServerConfig) -> Security:
        """TLS as a config says. Raises CertificateError."""
        return Security(self.name, config)

    @property
    def port(self) -> int:
        """The port it listens on, also where the config says any (0)."""
        port: int = self._sockets[self.bind].getsockname()[1]
        return port

    @property
    def sockets(self) -> Mapping[Bind, socket.socket]:
        """Where clients can come in: where the config says, and for a moment where it said before."""
        return {bind: sock for bind, sock in self._sockets.items() if sock.fileno() >= 0}

    @property
    def open_connections(self) -> int:
        """Connections that have not ended."""
        return len(self.listener.connections) if self.listener else 0

    def hand_over(self, bind: Bind) -> None:
        """Leave a socket, and the clients that wait in it, to whoever has a duplicate of it."""
        sock = self._sockets.pop(bind)
        if self.listener is None:
            sock.close()
        elif sock.fileno() >= 0:
            self.listener.hand_over(sock)

    def stop_accepting(self) -> None:
        """Close the listening socket; open connections go on."""
        if self.listener:
            self.listener.stop_accepting()
        else:
            for sock in self._sockets.values():
                sock.close()
        self._unlink(self.bind)

    async def drained(self, cut: asyncio.Event) -> None:
        """Wait until the last connection has ended; for the config's shutdown_timeout, and until `cut` at most."""
        for name in tuple(self._tasks):
            if name != "rates":
                await self._end(name)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self.config.shutdown_timeout):
                while self.open_connections and not cut.is_set():
                    with contextlib.suppress(TimeoutError):
                        async with asyncio.timeout(LOOK):
                            await cut.wait()

    async def stop(self) -> int:
        """Close what is still open; returns how many connections that was."""
        closed = 0
        self.edits.stop()
        if self.listener:
            closed = self.listener.close_connections()
            if self.access_log:
                self.access_log.close()
            self.counters.free(self.listener.row)
        for name in tuple(self._tasks):
            await self._end(name)
        self.pool.update(())
        return closed

    def _run(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[what] = asyncio.create_task(work, name=f"{self.name}: {what}")

    async def _end(self, what: str) -> None:
        task = self._tasks.pop(what)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    async def _first_answer(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER):
                await self.discovery.begun.wait()
                await self.resolver.settled.wait()
                await self.health.begun.wait()

    def _unlink(self, bind: Bind) -> None:
        """Nobody finds our UNIX socket from now on, unless it is another server's now."""
        if bind.path and bind in self._sockets:
            del self._sockets[bind]
            with contextlib.suppress(OSError):
                os.unlink(bind.path)

    async def refresh(self) -> None:
        """Give the pool what discovery found last, and what is set by hand laid over it."""
        async with self._refreshing:
            specs = tuple(self.overlay.specs())
            self.health.expect(specs)
            change = await finished(self.pool.updating(specs))
            let_in = self.overlay.hold(self.pool)
            await self.health.follow()
            self.health.let_in(let_in)
            self.resolver.take(change.added)
            if self.listener is not None and introduces(self.pool) != self._introduces:
                self.listener.configure(self._settings(self.config))
            async for _ in sliced(self.pool.pending):
                pass

    async def close_connections(self, matches: Callable[[Flow], bool], reason: Reason) -> int:
        """Break off the open connections that match; returns how many. Others get their turns in between."""
        closed = 0
        async for connection in sliced(tuple(self.listener.connections if self.listener else ())):
            if not connection.closed and matches(connection):
                connection.break_off(reason)
                closed += 1
        return closed

    async def _break_off(self, backends: set[Backend]) -> None:
        """Close the open connections to backends that went down."""
        await self.close_connections(lambda flow: flow.backend in backends and flow.relaying, Reason.BACKEND_DOWN)

    async def _apply(self, specs: Sequence[BackendSpec]) -> None:
        self.overlay.found = specs
        await self.refresh()

    def _settings(self, config: ServerConfig) -> Settings:
        self._introduces = introduces(self.pool)
        return settings_of(config, self.pool, self.tls)

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
