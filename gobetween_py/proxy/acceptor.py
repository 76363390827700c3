"""One listening socket: accepts clients and hands them to its listener.

Accepting goes on whatever happens: when the process is out of file descriptors it pauses for a moment and tries again,
and the clients wait in the backlog.

A client in the backlog is connected as far as it knows, and closing the socket would reset it. So before the end the
kernel is told to let nobody begin a handshake (a client tries again a second later, and meets whoever listens then),
and who got in until then is accepted.
"""

from __future__ import annotations

import contextlib
import errno
import socket
import struct
from array import array
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gobetween_py.proxy.listener import Listener

PAUSE = 0.1
"""Seconds without accepting after the process ran out of fds or memory."""

EXHAUSTED = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})

BURST = 64
"""Clients accepted in one piece of work at most."""

LAST_BURSTS = 64
"""Bursts before a socket closes at most: Linux's default backlog, 4096. A flood must not keep it from closing."""

AF_UNIX = int(socket.AF_UNIX)

SO_ATTACH_FILTER, SO_DETACH_FILTER = 26, 27  # asm-generic/socket.h; the module socket has no names for them
# Classic BPF, as for tcpdump: a packet of a TCP socket begins with its TCP header, whose byte 13 holds the flags.
_NO_SYN = array(
    "B",
    b"".join(
        struct.pack("HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),  # load the flags
            (0x54, 0, 0, 0x12),  # keep SYN and ACK
            (0x15, 0, 1, 0x02),  # SYN alone?
            (0x06, 0, 0, 0),  # drop it
            (0x06, 0, 0, 0xFFFFFFFF),  # take anything else whole
        )
    ),
)


class Acceptor:
    """Accepts from construction until `close` or `hand_over`.

    Args:
        listener: gets the clients.
        sock: bound and listening; owned from here on.
    """

    def __init__(self, listener: Listener, sock: socket.socket) -> None:
        self._listener = listener
        self._reactor = listener.reactor
        self._socket = sock
        self._family = int(sock.family)
        self._accept = sock._accept  # type: ignore[attr-defined]  # the C-level accept: (fd, address), no socket object
        self._paused = False
        self._queued = False
        self._ended = False
        if self._family != AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # accepted sockets inherit it
            with contextlib.suppress(OSError):  # whom we have it from has not barred it
                sock.setsockopt(socket.SOL_SOCKET, SO_DETACH_FILTER, 0)
        sock.setblocking(False)
        self._reactor.add_level(sock.fileno(), self._pending)

    def pause(self) -> None:
        """Accept nothing for PAUSE: what is pending stays in the backlog."""
        if not (self._paused or self._ended):
            self._paused = True
            self._reactor.remove(self._socket.fileno())
            self._reactor.loop.call_later(PAUSE, self._go_on)

    def hand_over(self) -> None:
        """Close this end of the socket; a duplicate of it keeps the backlog."""
        if not (self._paused or self._ended):
            self._reactor.remove(self._socket.fileno())
        self._ended = True
        self._socket.close()

    def bar(self) -> None:
        """Let handshakes that have begun end, but none begin. Where that is forbidden, all goes on."""
        if self._family != AF_UNIX and not self._ended:
            address, size = _NO_SYN.buffer_info()
            with contextlib.suppress(OSError):
                self._socket.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, struct.pack("HP", size // 8, address))

    def close(self) -> None:
        """Accept who has connected already, as far as the process has the means, and close the socket."""
        self.bar()
        for _ in range(LAST_BURSTS):
            if self._paused or self._ended or not self._accept_burst():
                break
        self.hand_over()

    def _pending(self, _events: int) -> None:
        if not self._queued:
            self._queued = True
            self._reactor.ready.append(self._accept_some)

    def _accept_some(self) -> None:
        """Runs between batches of events, because it makes new fds."""
        self._queued = False
        if not (self._paused or self._ended):
            self._accept_burst()

    def _accept_burst(self) -> bool:
        """Accept what is pending, BURST at most; whether more may be pending."""
        for _ in range(BURST):
            try:
                fd, address = self._accept()
            except BlockingIOError:
                return False
            except OSError as error:
                if error.errno in EXHAUSTED:
                    self._listener.out_of_resources(error)
                    return False
                self._listener.not_accepted(error)  # ECONNABORTED and the like
                continue
            # A UNIX client's address is a name that it hardly ever has, and no IP.
            host, port = (address[0], address[1]) if self._family != AF_UNIX else ("", 0)
            self._listener.accepted(fd, self._family, host, port)
        return True

    def _go_on(self) -> None:
        self._paused = False
        if not self._ended:
            self._reactor.add_level(self._socket.fileno(), self._pending)
