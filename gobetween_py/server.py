"""One running server: the supply of backends, and the listener that draws on it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import Callable, Mapping
from typing import Any

from balancer import Backend, Counters
from discovery.loop import Loop
from discovery.slices import sliced
from gobetween_py.access_log import AccessLog, Writers
from gobetween_py.acme.issuance import Issuance
from gobetween_py.bind import listen_on
from gobetween_py.config import Bind
from gobetween_py.config import Server as ServerConfig
from gobetween_py.edits import Edits
from gobetween_py.healthcheck.health import Health
from gobetween_py.metrics.counted import Counted
from gobetween_py.proxy.flow import Flow
from gobetween_py.proxy.front import Front
from gobetween_py.proxy.listener import Listener
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.udp.listener import UdpListener
from gobetween_py.settings import access_of, check_source, settings_of
from gobetween_py.stages import introduces
from gobetween_py.supply import Supply
from gobetween_py.tls.security import Security

log = logging.getLogger("pygobetween.server")

LOOK = 0.05
"""Seconds between looks at whether the last connection has ended."""


class Server:
    """`[servers.NAME]`, running.

    Life: construct (binds and listens, but accepts nothing before `start`) -> start -> change and move, any number of
    times -> hand_over, stop_accepting -> stop.

    Args:
        sock: listens on the config's bind already.
        writers: the outputs of the access log, shared with other servers.
        issuance: where the certificates of tls.acme_hosts come from.

    Attributes:
        bind: where it listens; the config's, except while that changes.
        supply: what fills its pool.
        edits: makes changes by hand to its backends.
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
        issuance: Issuance | None = None,
    ) -> None:
        check_source(name, config)
        self.name = name
        self.config = config
        self.supply = Supply(name, config, counters, self._break_off)
        self.supply.on_listed = self._listed
        self.pool = self.supply.pool
        self.edits = Edits(self)
        self.tls = self.tls_of(config, issuance)
        self._renewing: asyncio.Task[None] | None = None
        self._reactor = reactor
        self.counters = counters
        self.bind = config.bind
        self._sockets = {self.bind: sock or listen_on(self.bind, transport=config.transport)}
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
        self._renew()
        await self.supply.begin()

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
            next_address=self.supply.resolver.next_address,
        )
        self.listener.on_refused = self.supply.refused
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
            discovery, health: for the supply's `change`.
            tls: from `tls_of(config, issuance)`, where the options are others than before.
        """
        assert self.listener is not None
        before, self.config = self.config, config
        if tls is not None:
            self.tls = tls
            self._renew()
        self.listener.configure(self._settings(config))
        if config.access != before.access:
            self.listener.access = access_of(config)
        if config.access_log != before.access_log:
            self._log_ends()
        await self.supply.change(before, config, discovery=discovery, health=health)

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

    def tls_of(self, config: ServerConfig, issuance: Issuance | None) -> Security:
        """TLS as a config says. Raises CertificateError."""
        return Security(self.name, config, issuance)

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
        await self.supply.rest()
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
        if self._renewing:
            self._renewing.cancel()
        await self.supply.end()
        return closed

    def _renew(self) -> None:
        """Follow the files of the certificates there are now."""
        if self._renewing:
            self._renewing.cancel()
        self._renewing = asyncio.create_task(self.tls.run(), name=f"{self.name}: tls")

    def _unlink(self, bind: Bind) -> None:
        """Nobody finds our UNIX socket from now on, unless it is another server's now."""
        if bind.path and bind in self._sockets:
            del self._sockets[bind]
            with contextlib.suppress(OSError):
                os.unlink(bind.path)

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

    def _listed(self) -> None:
        """The pool lists other backends: some may ask for PROXY headers."""
        if self.listener is not None and introduces(self.pool) != self._introduces:
            self.listener.configure(self._settings(self.config))

    def _settings(self, config: ServerConfig) -> Settings:
        self._introduces = introduces(self.pool)
        return settings_of(config, self.pool, self.tls)
