"""One client's connection: from accept through a backend that answers to the relay and the end.

A state is a method, and a transition assigns the next one as handler of the socket's events:

    accepted -> connecting -> relaying -> (half-closed) -> closed
                  |    ^
                  +----+  another backend, while attempts and untried backends are left

While connecting, only the backend's socket is watched. The client's is registered once the backend has answered: its
bytes wait in the kernel until then, so that another backend can be tried without having consumed any, and its first
read always finds something (a read that ends in EAGAIN costs an exception, 0.9 µs).

The ACK that ends the handshake with the backend waits for these bytes (TCP_QUICKACK, tcp(7)), which mostly are there
already: a packet less for both sides. A client that is silent does not hold it up: its first event says so.

`close` is the only place that ends a connection, and gives back everything once: sockets, pipes, the backend, the slot
in the timer wheel, the place in the listener.
"""

from __future__ import annotations

import errno
import os
import select
import socket
from array import array
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, ClassVar

from balancer import REFUSED, RX, TOTAL, TX, Backend
from balancer.sni import Acquire
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.relay import FINISHED, Half
from gobetween_py.proxy.sockets import (
    AF_UNIX,
    IPPROTO_TCP,
    STREAM,
    TCP_NODELAY,
    TCP_QUICKACK,
    CSocket,
    acknowledge,
    push,
    reset_at_close,
)
from gobetween_py.proxy.source import SourceError

if TYPE_CHECKING:
    from gobetween_py.proxy.listener import Listener
    from gobetween_py.proxy.pipes import PipePool
    from gobetween_py.proxy.source import Source
    from gobetween_py.proxy.wheel import Slot, Wheel

FAILED = select.EPOLLERR | select.EPOLLHUP
ARRIVED = select.EPOLLIN | select.EPOLLRDHUP
IN_PROGRESS = (errno.EINPROGRESS, 0)

MAX_DIALS = 16
"""Connects of one client at most, whatever number of addresses the tried backends have."""


class Connection:
    """A client and, once picked, its backend.

    Args:
        listener: who accepted it.
        fd: the client's socket, owned by the connection from here on.
        family: its address family.
        host: the client's IP address, "" for a UNIX socket.
        port: the client's port, 0 for a UNIX socket.

    Attributes:
        acquire: picks the backend: `Pool.acquire`, or what picks among some of a pool's backends.
        watch: has the client's socket watched: `Reactor.add`, unless it is already.
        begun, answered: `time.monotonic()` when it was accepted, and when its backend had answered (0.0 = none did).
    """

    __slots__ = (
        "acquire",
        "active",
        "answered",
        "backend",
        "begun",
        "client",
        "client_fd",
        "closed",
        "dials",
        "host",
        "listener",
        "port",
        "slot",
        "sockaddr",
        "tried",
        "up",
        "upstream",
        "values",
        "watch",
        "wheel",
    )

    def __init__(self, listener: Listener, fd: int, family: int, host: str, port: int) -> None:
        self.listener = listener
        self.acquire: Acquire = listener.acquire
        self.watch: Callable[[int, Callable[[int], None]], None] = listener.watch
        self.values: array[int] = listener.values
        self.wheel: Wheel = listener.wheel
        self.host = host
        self.port = port
        self.client_fd = fd
        self.client = self.endpoint(family, STREAM, 0, fd)
        self.upstream: CSocket | None = None
        self.backend: Backend | None = None
        self.tried: tuple[Backend, ...] = ()
        self.dials = 0
        self.up: Half | None = None
        self.slot: Slot | None = None
        self.closed = False
        self.begun = monotonic()
        self.answered = 0.0

    @property
    def pipes(self) -> PipePool:
        """The reactor's pipes."""
        return self.listener.reactor.pipes

    @property
    def sent(self) -> int:
        """Bytes delivered to the backend so far; all of them to `Listener.on_end`."""
        return self.up.moved if self.up else 0

    @property
    def received(self) -> int:
        """Bytes delivered from the backend so far; all of them to `Listener.on_end`."""
        return self.up.opposite.moved if self.up else 0

    @property
    def server_name(self) -> str:
        """That the client asked for by TLS: of that nothing is known here."""
        return ""

    @property
    def number(self) -> int:
        """Tells it from every other connection that is open."""
        return self.client_fd

    @property
    def relaying(self) -> bool:
        """Whether its backend has answered."""
        return self.up is not None

    @property
    def attempts(self) -> int:
        """Different backends tried so far."""
        return len(self.tried) + (self.backend is not None)

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
        while len(self.tried) < listener.attempts and self.dials < MAX_DIALS:
            backend = self.acquire(self.host, self.tried)
            if backend is None:
                break
            self.backend = backend
            self.sockaddr = backend.sockaddr
            self.dials += 1
            try:
                upstream = self.endpoint(backend.family, STREAM)
            except OSError as error:
                listener.out_of_resources(error)
                listener.unserved(Reason.RESOURCES, error.strerror or "")
                self.close(Reason.RESOURCES)
                return
            self.upstream = upstream
            if listener.source is not None and not self._take_source(listener.source):
                continue
            if backend.family != AF_UNIX:
                upstream.setsockopt(IPPROTO_TCP, TCP_NODELAY, 1)
                upstream.setsockopt(IPPROTO_TCP, TCP_QUICKACK, 0)
            failure = upstream.connect_ex(self.sockaddr)  # type: ignore[arg-type]  # only resolved backends are picked
            if failure in IN_PROGRESS:
                listener.reactor.add(upstream.fileno(), self.connecting)
                if listener.connect_ticks:
                    self._sit(self.wheel.now + listener.connect_ticks)
                return
            if failure == errno.EADDRNOTAVAIL:
                self._pass_over("no local port is left for it")
            else:
                self._refused(os.strerror(failure))
        listener.unserved(Reason.CONNECT if self.dials else Reason.NO_BACKEND)
        self.close(Reason.CONNECT if self.dials else Reason.NO_BACKEND)

    def _take_source(self, source: Source) -> bool:
        """Give the backend's socket its address; when it cannot have it, another backend's may, of another family."""
        assert self.backend is not None
        assert self.upstream is not None
        try:
            source.take(self.upstream, self.backend.family, self.host)
        except SourceError as error:
            self._pass_over(error.strerror or "")
            return False
        return True

    def _pass_over(self, why: str) -> None:
        """This backend cannot be dialled, which is no fault of its own: it is not counted as having refused."""
        backend, upstream = self.backend, self.upstream
        assert backend is not None
        assert upstream is not None
        upstream.close()
        self.upstream = self.backend = None
        self.tried += (backend,)
        self.listener.release(backend)
        self.listener.log_rarely("source", f"backend {backend.address} not dialled: {why}")

    half: ClassVar[type[Half]] = Half
    """What a direction is made of."""

    endpoint: ClassVar[type[CSocket]] = CSocket
    """What its sockets are."""

    begin = connect
    """What follows accept()."""

    def connecting(self, events: int) -> None:
        """The backend has answered: relay, or try another."""
        upstream, backend = self.upstream, self.backend
        assert upstream is not None
        assert backend is not None
        if events & FAILED:
            self._leave_slot()
            self._refused(os.strerror(upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)))
            self.ready.append(self._connect_again)
            return
        row = backend.row
        self.values[row + TOTAL] += 1
        self.up = up = self.half(self, self.client, upstream, row + TX)
        up.opposite = down = self.half(self, upstream, self.client, row + RX)
        down.opposite = up
        self.active = now = self.wheel.now
        self.answered = monotonic()
        listener = self.listener
        listener.reactor.handlers[upstream.fileno()] = self.answer
        self.watch(self.client_fd, self.first)
        if listener.idle_ticks and self.slot is None:
            self._sit(now + listener.idle_ticks)
        if events & ARRIVED:  # a server that speaks first: no edge tells of it again
            self.answer(events)

    def first(self, events: int) -> None:
        """The client's first event of the relay. When it brings nothing for the backend, the bare ACK goes at once."""
        up = self.up
        assert up is not None
        self.listener.reactor.handlers[self.client_fd] = up.ready
        up.ready(events)
        if not (up.moved or self.closed):
            acknowledge(up.sink)  # without this ACK or the client's bytes nobody accepts us

    def answer(self, events: int) -> None:
        """The backend's events until it has said something. If there is more to come it gets the ACK for that at once.

        From then on ACKs are as usual. Else a backend with Nagle's algorithm on would not send the rest for 40 ms.
        """
        up, upstream = self.up, self.upstream
        assert up is not None
        assert upstream is not None
        down = up.opposite
        down.ready(events)
        if down.moved and not self.closed:
            self.listener.reactor.handlers[upstream.fileno()] = down.ready
            if not down.state & FINISHED:
                acknowledge(upstream)

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
            self.close(self.listener.idle_reason)
        else:
            self._sit(deadline)

    # the end

    def reset(self, broken: CSocket) -> None:
        """One side's socket is broken. What it had said until then goes out before the other one is reset.

        A server that refuses a request without reading it all makes such an end: its answer, then RST.
        """
        if broken is not self.client:
            push(self.client)
        elif self.upstream is not None:
            push(self.upstream)
        self.break_off(Reason.CLIENT_RESET if broken is self.client else Reason.BACKEND_RESET)

    def break_off(self, reason: Reason) -> None:
        """End it, if it has not ended, by resets: so neither side takes a torn stream for a whole one."""
        if not self.closed:
            reset_at_close(self.client)
            if self.upstream is not None:
                reset_at_close(self.upstream)
            self.close(reason)

    def abort(self) -> None:
        """A defect was met while handling an event."""
        self.close(Reason.DEFECT)

    def close(self, reason: Reason) -> None:
        """End it, if it has not ended, and give back everything."""
        if self.closed:
            return
        self.closed = True
        listener = self.listener
        handlers = listener.reactor.handlers
        if self.slot is not None:
            self.slot.discard(self)
        up = self.up
        if up is not None:
            down = up.opposite
            up.release()
            down.release()
            del handlers[self.client_fd]
        self.client.close()
        upstream = self.upstream
        if upstream is not None:
            handlers.pop(upstream.fileno(), None)
            upstream.close()
        if self.backend is not None:
            listener.release(self.backend)
        listener.ended(self, reason)
        if up is not None:
            # They know each other: take the ring apart, so that counting references frees it now.
            self.up = None
            del up.opposite, down.opposite
