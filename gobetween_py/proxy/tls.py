"""One direction of a connection with TLS on one side or on both, and what it needs of OpenSSL.

The ssl object sits on the socket itself (no buffers in between, no transport), and does all its reading and writing
there. What differs from plain sockets, and so from `Half`:

* A read gives one record at most, 16 KiB. So a short read does not prove that the socket is empty, and no event comes
  again for what is left: the half reads on until FIONREAD finds nothing (0.5 µs; the exception of a read that finds
  nothing takes 2.7). OpenSSL itself holds nothing back: it reads record by record, and BUFFER is more than a record.
* A read may have to wait until the socket can be written, and a write until there is something to read.
* The end of a stream is the alert close_notify (RFC 8446, 6.1). A FIN without it is a truncated stream, and is passed
  on as a reset.

To send close_notify, Python has only `shutdown()`, which calls SSL_shutdown twice: the second call reads, and fails for
good when what it reads is not the peer's own close_notify. So with bytes of the peer still to be read, it is not called
yet: the half OWES the end until the opposite half has read them.
"""

from __future__ import annotations

import _socket
import socket
import ssl
from collections.abc import Callable
from fcntl import ioctl
from termios import FIONREAD
from typing import TYPE_CHECKING, Any, Protocol

from gobetween_py.proxy.reason import BACKEND, CLIENT
from gobetween_py.proxy.relay import AWAITED, BUDGET, BUFFER, ENDING, ERROR, FINISHED, LAST, READABLE, STALLED, Half

if TYPE_CHECKING:
    from gobetween_py.proxy.secured import SecuredConnection

HINDERED = 32  # reading waits until the source can be written
OWES = 64  # the source has ended, and the sink is not told yet

AGAIN = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class Tls(Protocol):
    """The C-level ssl object on a socket (`_ssl._SSLSocket`), which never blocks here."""

    context: ssl.SSLContext
    session: Any
    session_reused: bool

    def do_handshake(self) -> None: ...
    def read(self, size: int, /) -> bytes: ...
    def write(self, data: bytes | memoryview, /) -> int: ...
    def shutdown(self) -> object: ...
    def version(self) -> str | None: ...
    def selected_alpn_protocol(self) -> str | None: ...


class WeakSocket(_socket.socket):
    """A C-level socket that an ssl object can refer to."""

    __slots__ = ("__weakref__",)


def wrap(
    context: ssl.SSLContext,
    sock: WeakSocket,
    owner: SecuredConnection,
    *,
    server_name: str | None = None,
    session: object = None,
    server_side: bool = False,
) -> Tls:
    """TLS on a socket that does not block; `owner` is what a server's choice of certificate is told.

    Raises:
        ValueError: the server name is none that could be asked for.
    """
    tls: Tls = context._wrap_socket(  # type: ignore[attr-defined]  # ssl.SSLSocket would be a second Python object
        sock, server_side, server_name, owner=owner, session=session
    )
    return tls


def reason_of(error: OSError) -> str:
    """What OpenSSL says about it, in words: "no shared cipher"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the peer went away"
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).replace("_", " ").lower()


_count = bytearray(4)
"""Where FIONREAD writes its answer."""


def unread(fd: int) -> bool:
    """Whether a socket has bytes to be read."""
    ioctl(fd, FIONREAD, _count)
    return any(_count)


class TlsHalf(Half):
    """A direction whose source or sink is TLS, or both. Never splices."""

    __slots__ = ("end_sink", "read", "tls_source", "write")

    connection: SecuredConnection

    def __init__(self, connection: SecuredConnection, source: _socket.socket, sink: _socket.socket, cell: int) -> None:
        super().__init__(connection, source, sink, cell)
        reading, writing = connection.tls_on(source), connection.tls_on(sink)
        self.tls_source = reading is not None
        self.read: Callable[[int], bytes] = reading.read if reading else source.recv
        self.write: Callable[[bytes | memoryview], int] = writing.write if writing else sink.send
        self.end_sink: Callable[[], object] | None = writing.shutdown if writing else None

    def ready(self, events: int) -> None:
        """Handle the events of the source's socket; any of them may be what the opposite half's write waits for."""
        connection = self.connection
        connection.active = connection.wheel.now
        if self.state & AWAITED:
            self.state &= ~AWAITED
            self.opposite.resume()
        if events & ENDING:
            self.state |= LAST
            if events & ERROR and self.state & (FINISHED | STALLED):
                connection.reset(self.source)
                return
        if (events & READABLE or self.state & HINDERED) and not connection.closed:
            self.read_on()

    def read_on(self) -> None:
        """Read and deliver what the source has; then, if the opposite half owes the source its end, tell it."""
        if not self.state & (FINISHED | STALLED):
            self.state &= ~HINDERED
            self._copy()
        if not self.connection.closed and self.opposite.state & OWES and not self.opposite.state & STALLED:
            self.opposite._tell_end()  # type: ignore[attr-defined]  # both halves are of this class

    def resume(self) -> None:
        """The sink takes bytes again: deliver what is held, then the end if that is all there is, else read on."""
        self.state &= ~STALLED
        rest, self.rest = self.rest, b""
        if rest and not self._deliver(rest):
            return
        if self.state & OWES:
            self._tell_end()
        else:
            self.read_on()

    def _copy(self) -> None:
        moved = 0
        while True:
            try:
                data = self.read(BUFFER)
            except (BlockingIOError, ssl.SSLWantReadError):
                return
            except ssl.SSLWantWriteError:
                self.state |= HINDERED
                return
            except ssl.SSLZeroReturnError:  # close_notify, after ours was sent
                data = b""
            except OSError:  # a FIN without close_notify too
                self.connection.reset(self.source)
                return
            if not data:
                self._end()
                return
            if not self._deliver(data):
                return
            moved += len(data)
            if moved >= BUDGET:
                self.connection.ready.append(self.go_on)
                return
            if not self.state & LAST:
                if self.tls_source:
                    if not unread(self.source.fileno()):
                        return
                elif len(data) < BUFFER:
                    return

    def _deliver(self, data: bytes | memoryview) -> bool:
        """Write all of it, a record at a time; False when the sink is full, and holds the rest, or gone."""
        while True:
            try:
                sent = self.write(data)
            except AGAIN:
                self.rest = memoryview(data)  # OpenSSL wants the same bytes again
                self._stall()
                return False
            except OSError:
                self.connection.reset(self.sink)
                return False
            self.values[self.cell] += sent
            self.moved += sent
            if sent == len(data):
                return True
            data = memoryview(data)[sent:]

    def _end(self) -> None:
        """The source ended and all of it was delivered: pass the end on."""
        self.state |= FINISHED | OWES
        self._tell_end()

    def _tell_end(self) -> None:
        """Tell the sink the end, as soon as that can be done; close when both halves are through."""
        if self.end_sink is not None and not self._notify(self.end_sink):
            return
        connection = self.connection
        self.state &= ~OWES
        if self.opposite.state & FINISHED and not self.opposite.state & OWES:
            connection.close(BACKEND if connection.up is self else CLIENT)
            return
        try:
            self.sink.shutdown(socket.SHUT_WR)
        except OSError:  # ENOTCONN: the sink was reset meanwhile
            connection.reset(self.sink)

    def _notify(self, shutdown: Callable[[], object]) -> bool:
        """Send close_notify; False when it has to wait, or the sink is gone."""
        if not self.opposite.state & FINISHED and unread(self.sink.fileno()):
            return False
        try:
            shutdown()
        except ssl.SSLWantWriteError:
            self._stall()
            return False
        except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):  # sent; the peer's own is not there yet, or was
            pass
        except OSError:
            self.connection.reset(self.sink)
            return False
        return True
