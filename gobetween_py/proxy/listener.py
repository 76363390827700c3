"""A server's front: asks access rules and the limit about accepted clients, makes connections and knows them.

The sockets it listens on belong to acceptors. There is one, and for a moment two when the server moves to another
address.
"""

from __future__ import annotations

import logging
import math
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from balancer import ACTIVE, TOTAL, Backend, Counters, Pool
from gobetween_py.proxy.acceptor import PAUSE, Acceptor
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.connection import Connection
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.staged import StagedConnection, Stages
from gobetween_py.proxy.wheel import Wheel

log = logging.getLogger("pygobetween.proxy")

GRACE = 1.0
"""Seconds that an address goes on accepting after the server has moved to another: clients are still on their way."""

QUIET = 5.0
"""Seconds between two log lines of the same kind."""

OnEnd = Callable[[Connection, Reason], None]
"""Told of every connection that has ended. Runs in the data plane: it must be quick, and not raise."""

OnRefusal = Callable[[str, int, Reason], None]
"""Told of every client that was turned away at the door: IP address ("" for a UNIX socket), port, and why. As quick."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server asks of its connections. Durations are seconds, 0 = no limit.

    Both idle timeouts count silence in both directions: a long download is not cut because its client has nothing to
    say. So the shorter of the two decides.
    """

    max_connections: int = 0
    client_idle_timeout: float = 0.0
    backend_idle_timeout: float = 0.0
    backend_connection_timeout: float = 0.0
    connect_attempts: int = 3
    stages: Stages | None = None


class Listener:
    """Accepts on a bound, listening socket and owns the connections made from it.

    Args:
        name: the server's name, for the log.
        sock: the listening socket; owned from here on.
        pool: picks the backends.
        counters: where the server gets its row: ACTIVE connections and TOTAL accepted.
        next_address: told that a backend did not answer at a sockaddr; True when it has another one now.

    Attributes:
        on_end: who is told of each connection's end; may be set at any time.
        on_refused: who is told of each connect that failed, and why; may be set at any time.
        on_refusal: who is told of each client that the access rules or the limit turn away; may be set at any time.
        refusals: clients that got nothing, by cause: access, limit, no_backend, connect_failed.
    """

    def __init__(
        self,
        name: str,
        sock: socket.socket,
        reactor: Reactor,
        pool: Pool,
        counters: Counters,
        *,
        settings: Settings | None = None,
        access: Access | None = None,
        next_address: Callable[[Backend, Any], bool] = lambda backend, sockaddr: False,
    ) -> None:
        self.name = name
        self.reactor = reactor
        self.wheel = reactor.wheel
        self.pool = pool
        self.acquire = pool.acquire
        self.release = pool.release
        self.values = counters.values
        self.row = counters.allocate()
        self._access = access
        self.next_address = next_address
        self.connections: set[Connection] = set()
        self.refusals: Counter[str] = Counter()
        self.on_end: tuple[OnEnd, ...] = ()
        self.on_refused: Callable[[Backend, str], None] = lambda backend, why: None
        self.on_refusal: tuple[OnRefusal, ...] = ()
        self._quiet_until: dict[str, float] = {}
        self.configure(settings or Settings())
        self._acceptors = [Acceptor(self, sock)]

    def configure(self, settings: Settings) -> None:
        """Take new settings; open connections follow the new idle timeouts from their next deadline on."""
        self.settings = settings
        self.attempts = settings.connect_attempts
        self.limit = settings.max_connections or math.inf
        self.connect_ticks = Wheel.ticks(settings.backend_connection_timeout)
        self._make = StagedConnection if settings.stages else Connection
        self._set_door()
        client, backend = settings.client_idle_timeout or math.inf, settings.backend_idle_timeout or math.inf
        idle = min(client, backend)
        self.idle_ticks = 0 if idle == math.inf else Wheel.ticks(idle)
        self.idle_reason = Reason.CLIENT_IDLE if client <= backend else Reason.BACKEND_IDLE

    @property
    def access(self) -> Access | None:
        """Who may connect; None = everybody. Asked about the client that a PROXY header names, where there is one."""
        return self._access

    @access.setter
    def access(self, access: Access | None) -> None:
        self._access = access
        self._set_door()

    def _set_door(self) -> None:
        """Who is let in by the address that accept() gives."""
        trusted = self.settings.stages and self.settings.stages.trusted
        self._door = trusted or self._access
        self._door_reason = Reason.UNTRUSTED if trusted else Reason.ACCESS

    # where clients come from

    def move(self, sock: socket.socket) -> None:
        """Listen on another socket; the one before, if it was not handed over, goes on for GRACE and is then closed."""
        for before in self._acceptors:
            self.reactor.loop.call_later(GRACE, self._close_acceptor, before)
        self._acceptors.append(Acceptor(self, sock))

    def hand_over(self) -> socket.socket:
        """Stop accepting and return the open socket with its backlog, for another listener."""
        return self._acceptors.pop().hand_over()

    def stop_accepting(self) -> None:
        """Close the listening socket; open connections go on."""
        for acceptor in tuple(self._acceptors):
            self._close_acceptor(acceptor)

    def _close_acceptor(self, acceptor: Acceptor) -> None:
        if acceptor in self._acceptors:
            acceptor.close()
            self._acceptors.remove(acceptor)

    # told by acceptors

    def accepted(self, fd: int, family: int, host: str, port: int) -> None:
        """A client has connected: serve it or turn it away. Only called between two batches of events."""
        if self._door is not None and not self._door.allows(host):
            self._turn_away(fd, host, port, self._door_reason)
        elif len(self.connections) >= self.limit:
            self._turn_away(fd, host, port, Reason.LIMIT)
            self._log_rarely("limit", f"max_connections = {self.settings.max_connections} reached, client refused")
        else:
            connection = self._make(self, fd, family, host, port)
            self.connections.add(connection)
            self.values[self.row + ACTIVE] += 1
            self.values[self.row + TOTAL] += 1
            connection.begin()

    def not_accepted(self, error: OSError) -> None:
        """A client was gone before it could be accepted, or the like."""
        self._log_rarely("accept", f"accept failed: {error.strerror}")

    def out_of_resources(self, error: OSError) -> None:
        """Stop accepting for a moment: what is pending stays in the backlog, what is open goes on."""
        self._log_rarely("resources", f"{error.strerror}: not accepting for {PAUSE:g} s")
        for acceptor in self._acceptors:
            acceptor.pause()

    def _turn_away(self, fd: int, host: str, port: int, reason: Reason) -> None:
        socket.close(fd)
        self.refusals[reason.value] += 1
        for told in self.on_refusal:
            told(host, port, reason)

    # told by connections

    def refused(self, backend: Backend, why: str) -> None:
        """A backend did not answer a connect."""
        self._log_rarely(backend.address, f"backend {backend.address} refused: {why}")
        self.on_refused(backend, why)

    def unserved(self, reason: Reason, why: str = "") -> None:
        """A client gets no backend."""
        self.refusals[reason.value] += 1
        self._log_rarely(reason.value, f"client refused: {why or reason}")

    def ended(self, connection: Connection, reason: Reason) -> None:
        """A connection has closed and given back everything."""
        self.connections.discard(connection)
        self.values[self.row + ACTIVE] -= 1
        for told in self.on_end:
            told(connection, reason)

    # the end

    def close_connections(self, reason: Reason = Reason.SHUTDOWN) -> int:
        """Close all open connections now; returns how many."""
        open_now = tuple(self.connections)
        for connection in open_now:
            connection.close(reason)
        return len(open_now)

    def _log_rarely(self, kind: str, message: str) -> None:
        now = self.reactor.loop.time()
        if now >= self._quiet_until.get(kind, 0.0):
            self._quiet_until[kind] = now + QUIET
            log.warning("%s: %s", self.name, message)
