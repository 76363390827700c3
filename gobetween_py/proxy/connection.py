"""One client's connection: from accept through a backend that answers to the relay and the end.

A state is a method, and a transition assigns the next one as handler of the socket's events:

    accepted -> connecting -> relaying -> (half-closed) -> closed
                  |    ^
                  +----+  another backend, while attempts and untried backends are left

While connecting, only the backend's socket is watched. The client's is registered once the backend has answered: its
bytes wait in the kernel until then, so that another backend can be tried without having consumed any, and its first
read always finds something (a read that ends in EAGAIN costs an exception, 0.9 µs).

`_close` is the only place that ends a connection, and gives back everything once: sockets, pipes, the backend, the slot
in the timer wheel, the place in the listener.
"""

from __future__ import annotations

import _socket
import errno
import os
import select
import socket
import struct
from array import array
from collections import deque
from collections.abc import Callable
from enum import Enum
from typing import TYPE_CHECKING, Any

from balancer import REFUSED, RX, TOTAL, TX, Backend
from gobetween_py.proxy.relay import Half

if TYPE_CHECKING:
    from gobetween_py.proxy.listener import Listener
    from gobetween_py.proxy.pipes import PipePool
    from gobetween_py.proxy.wheel import Slot, Wheel

# The C-level socket: `socket.socket` adds a Python object and twice the time, for nothing that is needed here.
CSocket = _socket.socket

FAILED = select.EPOLLERR | select.EPOLLHUP
ARRIVED = select.EPOLLIN | select.EPOLLRDHUP
# Plain integers: looking up and converting members of enums is felt once per connection.
STREAM = int(socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
IN_PROGRESS = (errno.EINPROGRESS, 0)
AF_UNIX, IPPROTO_TCP, TCP_NODELAY = int(socket.AF_UNIX), int(socket.IPPROTO_TCP), int(socket.TCP_NODELAY)
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on with 0 s: close() sends RST."""

MAX_DIALS = 16
"""Connects of one client at most, whatever number of addresses the tried backends have."""


class Reason(Enum):
    """Why a connection ended."""

    DONE = "done"  # both sides ended in order
    RESET = "reset"  # one side reset it
    CLIENT_IDLE = "client idle timeout"
    BACKEND_IDLE = "backend idle timeout"
    NO_BACKEND = "no backend"  # none was pickable
    CONNECT = "connect failed"  # no backend that was tried answered
    RESOURCES = "out of resources"  # no fd for the backend's socket
    SHUTDOWN = "shutdown"
    DEFECT = "defect"


class Connection:
    """A client and, once picked, its backend.

    Args:
        listener: who accepted it.
        fd: the client's socket, owned by the connection from here on.
        host: the client's IP address, "" for a UNIX socket.
    """

    __slots__ = (
        "active",
        "backend",
        "client",
        "client_fd",
        "closed",
        "dials",
        "down",
        "host",
        "listener",
        "slot",
        "sockaddr",
        "tried",
        "up",
        "upstream",
        "values",
        "wheel",
    )

    def __init__(self, listener: Listener, fd: int, host: str) -> None:
        self.listener = listener
        self.values: array[int] = listener.values
        self.wheel: Wheel = listener.wheel
        self.host = host
        self.client_fd = fd
        self.client = CSocket(listener.family, STREAM, 0, fd)
        self.upstream: CSocket | None = None
        self.backend: Backend | None = None
        self.sockaddr: Any = None
        self.dials = 0
        self.tried: tuple[Backend, ...] = ()
        self.up: Half | None = None
        self.down: Half | None = None
        self.slot: Slot | None = None
        self.active = self.wheel.now
        self.closed = False

    @property
    def pipes(self) -> PipePool:
        """The reactor's pipes."""
        return self.listener.reactor.pipes

    @property
    def ready(self) -> deque[Callable[[], None]]:
        """The reactor's ready work."""
        return self.listener.reactor.ready

    # accepted, connecting

    def connect(self) -> None:
        """Dial a backend that was not tried yet; close when there is none, or the attempts are used up.

        Only called between two batches of events, because it makes a new fd.
        """
        listener = self.listener
        while len(self.tried) < listener.settings.connect_attempts and self.dials < MAX_DIALS:
            backend = listener.pool.acquire(self.host, self.tried)
            if backend is None:
                break
            self.backend = backend
            self.sockaddr = backend.sockaddr
            self.dials += 1
            try:
                upstream = CSocket(backend.family, STREAM)
            except OSError as error:
                listener.out_of_resources(error)
                self._close(Reason.RESOURCES)
                return
            self.upstream = upstream
            if backend.family != AF_UNIX:
                upstream.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
            failure = upstream.connect_ex(self.sockaddr)
            if failure in IN_PROGRESS:
                listener.reactor.add(upstream.fileno(), self.connecting)
                if listener.connect_ticks:
                    self._sit(self.wheel.now + listener.connect_ticks)
                return
            self._refused(os.strerror(failure))
        self._close(Reason.CONNECT if self.dials else Reason.NO_BACKEND)

    def connecting(self, events: int) -> None:
        """The backend has answered: relay, or try another."""
        if not events & FAILED:
            self._relay()
            if events & ARRIVED and self.down is not None:  # a server that speaks first: no edge tells of it again
                self.down.ready(events)
            return
        assert self.upstream is not None
        self._leave_slot()
        self._refused(os.strerror(self.upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
        self.ready.append(self._connect_again)

    def _connect_again(self) -> None:
        if not self.closed:
            self.connect()

    def _refused(self, why: str) -> None:
        """The backend did not answer: count it, give it back, and forget its socket."""
        backend, upstream = self.backend, self.upstream
        assert backend is not None
        assert upstream is not None
        self.listener.reactor.handlers.pop(upstream.fileno(), None)
        upstream.close()
        self.upstream = self.backend = None
        if not self.listener.next_address(backend, self.sockaddr):
            self.tried += (backend,)
            self.values[backend.row + REFUSED] += 1
            self.listener.refused(backend, why)
        self.listener.pool.release(backend)

    # relaying

    def _relay(self) -> None:
        listener, backend, client, upstream = self.listener, self.backend, self.client, self.upstream
        assert backend is not None
        assert upstream is not None
        row = backend.row
        self.values[row + TOTAL] += 1
        self.up = up = Half(self, client, upstream, row + TX)
        self.down = down = Half(self, upstream, client, row + RX)
        up.opposite = down
        down.opposite = up
        self.active = self.wheel.now
        reactor = listener.reactor
        reactor.handlers[upstream.fileno()] = down.ready
        reactor.add(self.client_fd, up.ready)
        if listener.idle_ticks and self.slot is None:
            self._sit(self.active + listener.idle_ticks)

    # time

    def _sit(self, tick: int) -> None:
        self.slot = self.wheel.add(self, tick)

    def _leave_slot(self) -> None:
        if self.slot is not None:
            self.slot.discard(self)
            self.slot = None

    def expire(self, now: int) -> None:
        """The timer wheel reached this connection's slot: give up what is late, else sit down again."""
        self.slot = None
        if self.up is None:
            self._refused("no answer within backend_connection_timeout")
            self.connect()
            return
        idle_ticks = self.listener.idle_ticks
        if not idle_ticks:
            return
        deadline = self.active + idle_ticks
        if now >= deadline:
            self._close(self.listener.idle_reason)
        else:
            self._sit(deadline)

    # the end

    def finish(self) -> None:
        """Both directions have ended in order."""
        self._close(Reason.DONE)

    def reset(self) -> None:
        """One side failed: reset the other, so that it does not take a torn stream for a whole one."""
        if not self.closed:
            self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            if self.upstream is not None:
                self.upstream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            self._close(Reason.RESET)

    def abort(self, reason: Reason = Reason.DEFECT) -> None:
        """End it now, from outside: shutdown, a removed backend, a defect."""
        if not self.closed:
            self._close(reason)

    def _close(self, reason: Reason) -> None:
        if self.closed:
            return
        self.closed = True
        listener = self.listener
        handlers = listener.reactor.handlers
        self._leave_slot()
        up, down = self.up, self.down
        if up is not None and down is not None:
            del handlers[self.client_fd]
            up.release()
            down.release()
            # They know each other: take the ring apart, so that counting references frees it now.
            del up.opposite, down.opposite
            self.up = self.down = None
        self.client.close()
        if self.upstream is not None:
            handlers.pop(self.upstream.fileno(), None)
            self.upstream.close()
        if self.backend is not None:
            listener.pool.release(self.backend)
        listener.ended(self, reason)
