"""A listening socket: accepts clients, asks access rules and the limit, makes connections.

Accepting goes on whatever happens: when the process is out of file descriptors it pauses for a moment and tries again,
and the clients wait in the backlog.
"""

from __future__ import annotations

import errno
import logging
import math
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from balancer import ACTIVE, TOTAL, Backend, Counters, Pool
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.connection import AF_UNIX, Connection
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.wheel import Wheel

log = logging.getLogger("pygobetween.proxy")

PAUSE = 0.1
"""Seconds without accepting after the process ran out of fds or memory."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

QUIET = 5.0
"""Seconds between two log lines of the same kind."""

BURST = 64
"""Clients accepted in one piece of work at most."""

OnEnd = Callable[[Connection, Reason], None]
"""Told of every connection that has ended. Runs in the data plane: it must be quick, and not raise."""


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


class Listener:
    """Accepts on one bound, listening, non-blocking socket and owns the connections made from it.

    Args:
        name: the server's name, for the log.
        sock: the listening socket; owned from here on.
        pool: picks the backends.
        counters: where the server gets its row: ACTIVE connections and TOTAL accepted.
        next_address: told that a backend did not answer at a sockaddr; True when it has another one now.

    Attributes:
        on_end: who is told of each connection's end; may be set at any time.
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
        self.access = access
        self.next_address = next_address
        self.family = int(sock.family)
        self.connections: set[Connection] = set()
        self.refusals: Counter[str] = Counter()
        self.on_end: tuple[OnEnd, ...] = ()
        self._socket = sock
        self._accept = sock._accept  # type: ignore[attr-defined]  # the C-level accept: (fd, address), no socket object
        self._quiet_until: dict[str, float] = {}
        self._paused = False
        self._queued = False
        self.configure(settings or Settings())
        if self.family != AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
        sock.setblocking(False)
        self.reactor.add_listener(sock.fileno(), self._pending)

    def configure(self, settings: Settings) -> None:
        """Take new settings; open connections follow the new idle timeouts from their next deadline on."""
        self.settings = settings
        self.attempts = settings.connect_attempts
        self.limit = settings.max_connections or math.inf
        self.connect_ticks = Wheel.ticks(settings.backend_connection_timeout)
        client, backend = settings.client_idle_timeout or math.inf, settings.backend_idle_timeout or math.inf
        idle = min(client, backend)
        self.idle_ticks = 0 if idle == math.inf else Wheel.ticks(idle)
        self.idle_reason = Reason.CLIENT_IDLE if client <= backend else Reason.BACKEND_IDLE

    # accepting

    def _pending(self, _events: int) -> None:
        if not self._queued:
            self._queued = True
            self.reactor.ready.append(self._accept_some)

    def _accept_some(self) -> None:
        """Accept what is pending; runs between batches of events, because it makes new fds."""
        self._queued = False
        if self._paused or self._socket.fileno() < 0:
            return
        for _ in range(BURST):
            try:
                fd, address = self._accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self.out_of_resources(error)
                    return
                self._log_rarely("accept", f"accept failed: {error.strerror}")  # ECONNABORTED and the like
                continue
            # A UNIX client's address is a name that it hardly ever has, and no IP.
            host = address[0] if self.family != AF_UNIX else ""
            if self.access is not None and not self.access.allows(host):
                self._turn_away(fd, "access")
            elif len(self.connections) >= self.limit:
                self._turn_away(fd, "limit")
                self._log_rarely("limit", f"max_connections = {self.settings.max_connections} reached, client refused")
            else:
                connection = Connection(self, fd, host)
                self.connections.add(connection)
                self.values[self.row + ACTIVE] += 1
                self.values[self.row + TOTAL] += 1
                connection.connect()

    def _turn_away(self, fd: int, cause: str) -> None:
        socket.close(fd)
        self.refusals[cause] += 1

    def out_of_resources(self, error: OSError) -> None:
        """Stop accepting for a moment: what is pending stays in the backlog, what is open goes on."""
        self._log_rarely("resources", f"{error.strerror}: not accepting for {PAUSE:g} s")
        if not self._paused and self._socket.fileno() >= 0:
            self._paused = True
            self.reactor.remove(self._socket.fileno())
            self.reactor.loop.call_later(PAUSE, self._go_on)

    def _go_on(self) -> None:
        self._paused = False
        if self._socket.fileno() >= 0:
            self.reactor.add_listener(self._socket.fileno(), self._pending)

    # told by connections

    def refused(self, backend: Backend, why: str) -> None:
        """A backend did not answer a connect."""
        self._log_rarely(backend.address, f"backend {backend.address} refused: {why}")

    def unserved(self, reason: Reason) -> None:
        """A client gets no backend."""
        self.refusals[reason.value] += 1
        self._log_rarely(reason.value, f"client refused: {reason}")

    def ended(self, connection: Connection, reason: Reason) -> None:
        """A connection has closed and given back everything."""
        self.connections.discard(connection)
        self.values[self.row + ACTIVE] -= 1
        for told in self.on_end:
            told(connection, reason)

    # the end

    def stop_accepting(self) -> None:
        """Close the listening socket; open connections go on."""
        fd = self._socket.fileno()
        if fd >= 0:
            if not self._paused:
                self.reactor.remove(fd)
            self._socket.close()

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
