"""One direction of a connection with TLS on one side or on both, and what it needs of OpenSSL.

The ssl object sits on the socket itself (no buffers in between, no transport), and does all its reading and writing
there. What differs from plain sockets, and so from `Half`:

* A read gives one record at most, 16 KiB. So a short read does not prove that the socket is empty, and no event comes
  again for what is left: the half reads on until FIONREAD finds nothing (0.6 µs; the exception of a read that finds
  nothing takes 2.7). OpenSSL itself holds nothing back: it reads record by record, and BUFFER is more than a record.
* A read may have to wait until the socket can be written, and a write until there is something to read.
* The end of a stream is the alert close_notify (RFC 8446, 6.1). A FIN without it is a truncated stream, and is passed
  on as a reset.
* When an end is announced together with the last bytes, these wait for close_notify and FIN (TCP_CORK): one packet
  towards the client instead of three, 15 µs.

To send close_notify, Python has only `shutdown()`, which calls SSL_shutdown twice: the second call reads, and fails for
good when what it reads is not the peer's own close_notify. So with bytes of the peer still to be read, it is not called
yet: the half OWES the end until the opposite half has read them.
"""

from __future__ import annotations

import _socket
import socket
import ssl
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from gobetween_py.proxy.reason import BACKEND, CLIENT
from gobetween_py.proxy.relay import (
    AWAITED,
    BUDGET,
    BUFFER,
    ENDING,
    ERROR,
    FINISHED,
    LAST,
    PLAIN,
    READABLE,
    STALLED,
    Half,
)
from gobetween_py.proxy.sockets import cork, push, unread

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
    def cipher(self) -> tuple[str, str, int] | None: ...
    def getpeercert(self) -> dict[str, Any] | None: ...
    def selected_alpn_protocol(self) -> str | None: ...


class WeakSocket(_socket.socket):
    """A C-level socket that an ssl object can refer to."""

    __slots__ = ("__weakref__",)


def wrap(
    context: ssl.SSLContext,
    sock: _socket.socket,
    owner: SecuredConnection,
    *,
    server_name: str | None = None,
    session: object = None,
    server_side: bool = False,
) -> Tls:
    """TLS on a WeakSocket that does not block; `owner` is what a server's choice of certificate is told.

    Raises:
        ValueError: the server name is none that could be asked for.
    """
    tls: Tls = context._wrap_socket(  # type: ignore[attr-defined]  # ssl.SSLSocket would be a second Python object
        sock, server_side, server_name, owner=owner, session=session
    )
    return tls


def ends_with_client(tls: Tls) -> bool:
    """Whether the last message of a server's handshake was the client's: no answer takes the ACK along.

    A client that has Nagle's algorithm on would say nothing until the ACK comes, 40 ms later.
    """
    return not tls.context.num_tickets or (tls.session_reused and tls.version() != "TLSv1.3")


def reason_of(error: OSError) -> str:
    """What OpenSSL says about it, in words: "no shared cipher"."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted: {error.verify_message}"
    if isinstance(error, ssl.SSLEOFError):
        return "the peer went away"
    if getattr(error, "reason", None) == "CALLBACK_FAILED":  # the only one of ours: certificates.Choice
        return "no certificate for the name that is asked for"
    reason = getattr(error, "reason", None) or error.strerror or str(error)
    return str(reason).replace("_", " ").lower()


class TlsHalf(Half):
    """A direction whose source or sink is TLS, or both. Never splices."""

    __slots__ = ("end_sink", "fd", "read", "tls_source", "write")

    connection: SecuredConnection
    opposite: TlsHalf

    def __init__(self, connection: SecuredConnection, source: _socket.socket, sink: _socket.socket, cell: int) -> None:
        super().__init__(connection, source, sink, cell)
        reading, writing = connection.client_tls, connection.backend_tls
        if sink is connection.client:
            reading, writing = writing, reading
        self.fd = source.fileno()
        self.tls_source = reading is not None
        self.read: Callable[[int], bytes] = reading.read if reading else source.recv
        self.write: Callable[[bytes | memoryview], int] = writing.write if writing else sink.send
        self.end_sink: Callable[[], object] | None = writing.shutdown if writing else None

    def ready(self, events: int) -> None:
        """Handle the events of the source's socket; any of them may be what the opposite half's write waits for.

        The path of a small message is written out here, not called, as in `Half`.
        """
        connection = self.connection
        connection.active = connection.wheel.now
        if events != PLAIN or self.state or self.opposite.state:
            self._ready(events)
            return
        try:
            data = self.read(BUFFER)
        except OSError as error:
            if self._ended_by(error):
                self._end()
            return
        try:
            sent = self.write(data) if data else 0
        except OSError as error:
            self._not_written(error, data)
            return
        self.values[self.cell] += sent
        self.moved += sent
        if not data:
            self._end()
        elif sent < len(data):
            if self._deliver(memoryview(data)[sent:]):
                self._copy()
        elif unread(self.fd) if self.tls_source else sent == BUFFER:
            self._copy()

    def _ready(self, events: int) -> None:
        """Handle events in general."""
        connection = self.connection
        if self.state & AWAITED:
            self.state &= ~AWAITED
            self.opposite.resume()
        if events & ENDING:
            if not self.state & LAST and self.end_sink is not None:
                cork(self.sink)
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
            self.opposite._tell_end()

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
            except OSError as error:
                if self._ended_by(error):
                    self._end()
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
                    if not unread(self.fd):
                        return
                elif len(data) < BUFFER:
                    return

    def _deliver(self, data: bytes | memoryview) -> bool:
        """Write all of it, a record at a time; False when the sink is full, and holds the rest, or gone."""
        while True:
            try:
                sent = self.write(data)
            except OSError as error:
                self._not_written(error, data)
                return False
            self.values[self.cell] += sent
            self.moved += sent
            if sent == len(data):
                return True
            data = memoryview(data)[sent:]

    def _ended_by(self, error: OSError) -> bool:
        """Whether a read failed since the stream has ended in order. If not it has to wait, or the connection ends."""
        if isinstance(error, ssl.SSLZeroReturnError):  # close_notify, after ours was sent
            return True
        if isinstance(error, ssl.SSLWantWriteError):
            self.state |= HINDERED
        elif not isinstance(error, AGAIN):  # a FIN without close_notify too
            self.connection.reset(self.source)
        return False

    def _not_written(self, error: OSError, data: bytes | memoryview) -> None:
        if isinstance(error, AGAIN):
            self.rest = memoryview(data)  # OpenSSL wants the same bytes again
            self._stall()
        else:
            self.connection.reset(self.sink)

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
        if not self.opposite.state & FINISHED:
            if unread(self.opposite.fd):
                push(self.sink)
                self.state &= ~LAST
                return False
            if not self.state & LAST:  # else it is corked already
                cork(self.sink)  # who hears it at once may answer before the second call has read
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
