"""One direction of a connection: bytes from a source socket to a sink socket.

Little data goes by recv and send. Once a read fills the buffer, the half turns to bulk: splice(2) moves socket -> pipe
-> socket without the bytes ever entering this process (0.23 against 0.6 CPU seconds a GB), until the source falls
silent.

Edge-triggered reading means that no event comes again for bytes that were left unread. A half may therefore stop
reading only when
  * the read was short (what comes later makes a new event), or ended in EAGAIN;
  * the sink is full: the half is STALLED, and the sink's EPOLLOUT resumes it, whereupon it reads on;
  * its budget is spent: it is put on the reactor's ready list.
A FIN may come together with the last bytes, in one event (EPOLLRDHUP): from then on (LAST) a short read proves nothing
and the half reads until EOF.

End of stream is passed on as shutdown(SHUT_WR), once everything before it was delivered; the connection is over when
both halves are. An error is passed on as a reset (RFC 9293, 3.10.7), so that a truncated stream never looks complete.
"""

from __future__ import annotations

import os
import select
import socket
from typing import TYPE_CHECKING

from gobetween_py.proxy.reason import BACKEND, CLIENT

if TYPE_CHECKING:
    from gobetween_py.proxy.connection import Connection
    from gobetween_py.proxy.pipes import Pipe
    from gobetween_py.proxy.sockets import CSocket

OUT = select.EPOLLOUT
ENDING = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
READABLE = select.EPOLLIN | ENDING
ERROR = select.EPOLLERR
PLAIN = select.EPOLLIN | select.EPOLLOUT
"""The event of nearly every message: there is something to read, and the socket could be written too."""

# States of a half; 0 is plain copying with nothing held back.
STALLED = 1  # the sink is full
AWAITED = 2  # the opposite half is stalled: it waits for this half's source to become writable
BULK = 4  # splicing
LAST = 8  # the source's FIN or error was announced
FINISHED = 16  # EOF was read and passed on

BUFFER = 32_768
"""Bytes asked of one recv. Freeing 64 KiB and more makes glibc tidy its whole heap each time (malloc_consolidate)."""

BUDGET = 1 << 19
"""Bytes a half moves in one piece before others get their turn: about 0.2 ms of splicing."""

SPLICE = os.SPLICE_F_MOVE | os.SPLICE_F_NONBLOCK

DONTWAIT = int(socket.MSG_DONTWAIT)
"""Accepted sockets are left blocking (O_NONBLOCK would cost a system call each), so each call says it for itself."""

WITH_MORE = DONTWAIT | int(socket.MSG_MORE)
"""For what may be the last bytes: they wait for the FIN, and go with it in one packet (2 µs of a connection's 50)."""


class Half:
    """One direction of a relayed connection.

    Args:
        connection: whose half it is; it gives access to the reactor and is told of end and failure.
        source: where bytes are read.
        sink: where they are written.
        cell: index in the counters' array that counts the delivered bytes.
    """

    __slots__ = (
        "cell",
        "connection",
        "moved",
        "opposite",
        "pipe",
        "piped",
        "rest",
        "sink",
        "source",
        "state",
        "values",
    )

    opposite: Half

    def __init__(self, connection: Connection, source: CSocket, sink: CSocket, cell: int) -> None:
        self.connection = connection
        self.source = source
        self.sink = sink
        self.cell = cell
        self.values = connection.values
        self.state = 0
        self.moved = 0  # bytes delivered by this half alone
        self.rest: bytes | memoryview = b""  # read, not yet written
        self.pipe: Pipe | None = None
        self.piped = 0  # bytes in the pipe

    def ready(self, events: int) -> None:
        """Handle the events of the source's socket; its EPOLLOUT is for the opposite half, whose sink it is.

        The path of a small message is written out here, not called: 0.1 µs of its 10.
        """
        connection = self.connection
        connection.active = connection.wheel.now
        if self.state or events != PLAIN:
            self._ready(events)
            return
        try:
            data = self.source.recv(BUFFER, DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            connection.reset(self.source)
            return
        try:
            sent = self.sink.send(data, DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            connection.reset(self.sink)
            return
        self.values[self.cell] += sent
        self.moved += sent
        if sent != len(data) or sent == BUFFER:
            self._after(data, sent)

    def _ready(self, events: int) -> None:
        """Handle events in general."""
        if self.state & AWAITED and events & OUT:
            self.state &= ~AWAITED
            self.opposite.resume()
        if events & ENDING:
            self.state |= LAST
            if events & ERROR and self.state & (FINISHED | STALLED):
                self.connection.reset(self.source)
                return
        if events & READABLE and not self.connection.closed:
            self.read_on()

    def go_on(self) -> None:
        """Ready work: read on after a spent budget, if the connection still lives."""
        if not self.connection.closed:
            self.read_on()

    def read_on(self) -> None:
        """Read and deliver what the source has."""
        if self.state & (FINISHED | STALLED):
            return
        if self.state & BULK:
            self._splice()
        else:
            self._copy()

    def resume(self) -> None:
        """The sink takes bytes again: deliver what is held, then read on."""
        self.state &= ~STALLED
        if self.rest:
            try:
                sent = self.sink.send(self.rest, DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.connection.reset(self.sink)
                return
            self.values[self.cell] += sent
            self.moved += sent
            self.rest = self.rest[sent:]
            if self.rest:
                self._stall()
                return
        self.read_on()

    def _copy(self) -> None:
        """Copy a message; all of them when these are the last."""
        while True:
            try:
                data = self.source.recv(BUFFER, DONTWAIT)
            except BlockingIOError:
                return
            except OSError:
                self.connection.reset(self.source)
                return
            if not data:
                self._end()
                return
            last = self.state & LAST
            try:
                sent = self.sink.send(data, WITH_MORE if last else DONTWAIT)
            except BlockingIOError:
                sent = 0
            except OSError:
                self.connection.reset(self.sink)
                return
            self.values[self.cell] += sent
            self.moved += sent
            if sent != len(data) or sent == BUFFER:
                self._after(data, sent)
                return
            if not last:
                return

    def _after(self, data: bytes, sent: int) -> None:
        """What follows a copy that was not plainly done: a full sink, or a full buffer."""
        if sent < len(data):
            self.hold(data, sent)
        else:
            # A blocking socket blocks splice too, whatever its flags say.
            os.set_blocking(self.source.fileno(), False)
            os.set_blocking(self.sink.fileno(), False)
            self.state |= BULK
            self._splice()

    def hold(self, data: bytes, sent: int) -> None:
        """The sink took only so many of these bytes: it gets the rest when it takes more."""
        self.rest = memoryview(data)[sent:]
        self._stall()

    def _stall(self) -> None:
        self.state |= STALLED
        self.opposite.state |= AWAITED

    def _splice(self) -> None:
        """Move up to a budget of bytes through a pipe; back to copying when the source gave less than a buffer."""
        if self.pipe is None:
            self.pipe = self.connection.pipes.take()
            if self.pipe is None:  # out of fds: copy, a buffer a piece
                self.state &= ~BULK
                self.connection.ready.append(self.go_on)
                return
        outlet, inlet = self.pipe
        source = self.source.fileno()
        moved = 0
        while moved < BUDGET:
            if not self.piped:
                try:
                    size = os.splice(source, inlet, BUDGET, flags=SPLICE)
                except BlockingIOError:
                    self.release()
                    if moved < BUFFER:
                        self.state &= ~BULK
                    return
                except OSError:
                    self.connection.reset(self.source)
                    return
                if not size:
                    self.release()
                    self._end()
                    return
                self.piped = size
                moved += size
            if not self._drain(outlet):
                return
        self.connection.ready.append(self.go_on)

    def _drain(self, outlet: int) -> bool:
        """Empty the pipe into the sink; False when the sink is full or gone."""
        sink = self.sink.fileno()
        try:
            while self.piped:
                sent = os.splice(outlet, sink, self.piped, flags=SPLICE)
                self.piped -= sent
                self.values[self.cell] += sent
                self.moved += sent
        except BlockingIOError:
            self._stall()
            return False
        except OSError:
            self.connection.reset(self.sink)
            return False
        return True

    def release(self) -> None:
        """Give the pipe back; one with bytes of an ended connection in it is closed."""
        if self.pipe is not None:
            if self.piped:
                self.connection.pipes.discard(self.pipe)
            else:
                self.connection.pipes.give(self.pipe)
            self.pipe = None

    def abort(self) -> None:
        """A defect was met while handling an event: end the connection."""
        self.connection.abort()

    def _end(self) -> None:
        """The source ended and all of it was delivered: pass the end on."""
        self.state |= FINISHED
        if self.opposite.state & FINISHED:
            connection = self.connection
            connection.close(BACKEND if connection.up is self else CLIENT)
            return
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:  # ENOTCONN: the sink was reset meanwhile
            self.connection.reset(self.sink)
