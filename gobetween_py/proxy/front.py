"""What the front of every server has, whatever it listens for: settings, access rules, limits, counters, and who is
told of what.
"""

from __future__ import annotations

import logging
import math
import socket
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from balancer import ACTIVE, TOTAL, Backend, Counters, Pool
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.flow import Flow, OnEnd, OnRefusal
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.reason import REFUSALS, Reason
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.wheel import Wheel

log = logging.getLogger("pygobetween.proxy")

GRACE = 2.0
"""Seconds that an address goes on taking new clients after the server has moved to another: they are on their way.

More than the second after which a client's kernel tries again when the first SYN got lost.
"""

QUIET = 5.0
"""Seconds between two log lines of the same kind."""


class Entrance(Protocol):
    """One bound socket through which clients come in."""

    def hand_over(self) -> None:
        """Let nobody in any more; who waits in the socket is left to the holder of a duplicate of it."""

    def close(self) -> None:
        """Let nobody in any more; the socket is closed as soon as nothing needs it."""


AnyEntrance = TypeVar("AnyEntrance", bound=Entrance)


class Front(ABC, Generic[AnyEntrance]):
    """Lets clients in and owns the connections, or sessions, made from them.

    There is one entrance, and for a moment two when the server moves to another address.

    Args:
        name: the server's name, for the log.
        sock: bound, and listening if it can; owned from here on.
        pool: picks the backends.
        counters: where the server gets its row: ACTIVE connections and TOTAL accepted.
        next_address: told that a backend did not answer at a sockaddr; True when it has another one now.

    Attributes:
        on_end: who is told of each connection's end; may be set at any time.
        on_refused: who is told of each connect that failed, and why; may be set at any time.
        on_refusal: who is told of each client that is turned away before it has a connection; may be set at any time.
        refusals: clients that got nothing, by cause; each cause is there from the start, so that a first one is seen as
            a rise.
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
        self.watch = reactor.add
        self.release = pool.release
        self.values = counters.values
        self.row = counters.allocate()
        self._access = access
        self.next_address = next_address
        self.connections: set[Flow] = set()
        self.refusals = Counter({reason.value: 0 for reason in REFUSALS})
        self.on_end: tuple[OnEnd, ...] = ()
        self.on_refused: Callable[[Backend, str], None] = lambda backend, why: None
        self.on_refusal: tuple[OnRefusal, ...] = ()
        self._quiet_until: dict[str, float] = {}
        self._entrances: dict[socket.socket, AnyEntrance] = {}
        self.configure(settings or Settings())
        self._entrances[sock] = self._open(sock)

    @abstractmethod
    def _open(self, sock: socket.socket) -> AnyEntrance:
        """Let clients in through this socket."""

    def configure(self, settings: Settings) -> None:
        """Take new settings; open connections follow the new idle timeouts from their next deadline on."""
        self.settings = settings
        self.attempts = settings.connect_attempts
        self.source = settings.source
        self.limit = settings.max_connections or math.inf
        self.connect_ticks = Wheel.ticks(settings.backend_connection_timeout)
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
        """Who is let in by the address that the kernel gives."""
        trusted = self.settings.stages and self.settings.stages.trusted
        self._door = trusted or self._access
        self._door_reason = Reason.UNTRUSTED if trusted else Reason.ACCESS

    def let_in(self, host: str, port: int) -> bool:
        """Ask access rules and the limit about a client, and tell of one that they turn away."""
        if self._door is not None and not self._door.allows(host):
            reason = self._door_reason
        elif len(self.connections) >= self.limit:
            reason = Reason.LIMIT
            self.log_rarely("limit", f"max_connections = {self.settings.max_connections} reached, client refused")
        else:
            return True
        self.refusals[reason.value] += 1
        for told in self.on_refusal:
            told(host, port, reason)
        return False

    # where clients come from

    def move(self, sock: socket.socket) -> None:
        """Listen on another socket; the one before, if it was not handed over, goes on for GRACE and is then closed."""
        for before, entrance in self._entrances.items():
            self._leave(before, entrance)
        self._entrances[sock] = self._open(sock)

    def inherit(self, sock: socket.socket) -> None:
        """Let in who comes to another socket, whose address is within that of the one there is, and then close it."""
        entrance = self._entrances[sock] = self._open(sock)
        self._leave(sock, entrance)

    def hand_over(self, sock: socket.socket) -> None:
        """Let nobody in through this socket any more; who waits in it is left to the holder of a duplicate of it."""
        self._entrances.pop(sock).hand_over()

    def stop_accepting(self) -> None:
        """Let nobody in any more; what is open goes on."""
        for sock, entrance in tuple(self._entrances.items()):
            self._close(sock, entrance)

    def _leave(self, sock: socket.socket, entrance: AnyEntrance) -> None:
        """Close it after GRACE, if it is not handed over before."""
        self.reactor.loop.call_later(GRACE, self._close, sock, entrance)

    def _close(self, sock: socket.socket, entrance: AnyEntrance) -> None:
        if self._entrances.get(sock) is entrance:  # it was not handed over, to us again perhaps
            entrance.close()
            if sock.fileno() < 0:
                self.closed(sock)

    def closed(self, sock: socket.socket) -> None:
        """The socket of an entrance has been closed."""
        self._entrances.pop(sock, None)

    # told by connections

    def begun(self, connection: Flow) -> None:
        """A connection is open from now on."""
        self.connections.add(connection)
        self.values[self.row + ACTIVE] += 1
        self.values[self.row + TOTAL] += 1

    def refused(self, backend: Backend, why: str) -> None:
        """A backend did not answer."""
        self.log_rarely(backend.address, f"backend {backend.address} refused: {why}")
        self.on_refused(backend, why)

    def unserved(self, reason: Reason, why: str = "") -> None:
        """A client gets no backend."""
        self.refusals[reason.value] += 1
        self.log_rarely(reason.value, f"client refused: {why or reason}")

    def ended(self, connection: Flow, reason: Reason) -> None:
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

    def log_rarely(self, kind: str, message: str) -> None:
        """Log a warning, unless there was one of the same kind within QUIET."""
        now = self.reactor.loop.time()
        if now >= self._quiet_until.get(kind, 0.0):
            self._quiet_until[kind] = now + QUIET
            log.warning("%s: %s", self.name, message)
