"""One bound UDP socket: takes clients' datagrams to their sessions, and the answers back.

The answer has to leave from the address to which the question came, or the client will not know it. A socket that is
bound to one address does that by itself. One that is bound to all addresses of the machine asks the kernel for the
destination of each datagram (IP_PKTINFO, ip(7); RFC 3542, section 6), and puts it on the answers as their source.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gobetween_py.proxy.access import Access
from gobetween_py.proxy.anywhere import is_anywhere
from gobetween_py.proxy.proxy_protocol import AF_INET, AF_INET6, Header, between
from gobetween_py.proxy.udp.buffer import BUFFER, BURST, ONE, VIEW
from gobetween_py.proxy.udp.unwrapper import NamedClient, Unwrapper

if TYPE_CHECKING:
    from gobetween_py.proxy.udp.listener import UdpListener
    from gobetween_py.proxy.udp.session import Session

QUEUE = 4 << 20
"""Bytes that may wait in the socket while this process is busy: some 5,000 small datagrams. Without CAP_NET_ADMIN the
kernel cuts it to net.core.rmem_max."""

SO_RCVBUFFORCE = 33  # asm-generic/socket.h
SO_MEMINFO, DROPS = 55, 8  # asm-generic/socket.h; linux/sock_diag.h
IP_PKTINFO = 8  # linux/in.h

DISCARD = 9
"""A port from which nobody sends (RFC 863)."""

LAST = 4096
"""Reads before the door is shut at most: a flood must not keep it open."""

UNSAID = bytes(4)
"""An interface or a destination that is left to the kernel."""

ROOM = socket.CMSG_SPACE(20)
"""For a struct in6_pktinfo, or in_pktinfo, which has 12 bytes."""


class Receiver:
    """Takes datagrams in from construction until `close` or `hand_over`.

    A client's name is its address as recvfrom() gives it.

    Args:
        listener: lets clients in that have no session.
        sock: bound; owned from here on.
    """

    def __init__(self, listener: UdpListener, sock: socket.socket) -> None:
        self.listener = listener
        self._socket = sock
        self._fd = sock.fileno()
        self._reactor = listener.reactor
        self._batch = 0
        """The reactor's batch in which it was ready last."""
        self._sessions: dict[Any, Session] = {}
        self._dropped_before = _drops(sock)
        self._using = 0  # sessions that may still send answers
        self._open = True
        self._watched = True
        self.receive: Callable[[bytearray], tuple[int, Any]] = sock.recvfrom_into
        """Read a datagram: its size, and the name of its client. Raises OSError."""
        self.reply: Callable[[memoryview, Any], object] = sock.sendto
        """Send an answer to a client. Raises OSError."""
        sock.setblocking(False)
        _widen(sock)
        self._handler = self.ready
        self._reactor.add_level(self._fd, self._handler)

    def ready(self, _events: int) -> None:
        """Pass datagrams on.

        One at first. If the next batch of events has this socket again there are more, and it is read until a read
        fails: that costs an exception, 0.9 µs, which a single client's datagrams are spared.
        """
        batch = self._reactor.batches
        burst = BURST if batch == self._batch + 1 else ONE
        self._batch = batch
        for _ in burst:
            try:
                size, client = self.receive(BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                self.unreadable(error)
                return
            session = self._sessions.get(client)
            data = VIEW[:size]
            if (session is None or not session.send(data)) and self._open:
                self.listener.take(self, client, data)

    def unreadable(self, error: OSError) -> None:
        """Reading a datagram has failed."""
        if self._socket.fileno() >= 0:  # its last session has not just ended
            self.listener.not_taken(error)

    def expect_headers(self, trusted: Access | None) -> None:
        """Whether datagrams begin with a PROXY header from now on, and who may send them."""
        self._handler = Unwrapper(self, trusted).ready if trusted else self.ready
        if self._watched:
            self._reactor.handlers[self._fd] = self._handler

    def pass_on(self, client: NamedClient, data: memoryview, unwrapper: Unwrapper) -> None:
        """Pass on a datagram of a client that its header names."""
        session = self._sessions.get(client)
        if (session is None or not session.send(data)) and self._open:
            self.listener.take(unwrapper, client, data)

    def address_of(self, client: Any) -> tuple[str, int]:
        """The client's host and port."""
        return client[0], client[1]

    def header_of(self, client: Any) -> Header:
        """The PROXY header that tells of a client: its address, and the one that it spoke to."""
        address = self.address_of(client)
        return between(AF_INET6 if ":" in address[0] else AF_INET, address, self._asked_at(client))

    def _asked_at(self, _client: Any) -> tuple[str, int]:
        host, port, *_ = self._socket.getsockname()
        return host, port

    @property
    def dropped(self) -> int:
        """Datagrams that found the socket's queue full."""
        return _drops(self._socket) - self._dropped_before

    @property
    def in_use(self) -> bool:
        """Whether sessions may still send answers."""
        return self._using > 0

    def begun(self, session: Session) -> None:
        """The datagrams of its client are for this session from now on."""
        self._sessions[session.client] = session
        self._using += 1

    def forget(self, session: Session) -> None:
        """The session takes no more datagrams of its client."""
        if self._sessions.get(session.client) is session:
            del self._sessions[session.client]

    def ended(self, session: Session) -> None:
        """The session sends no more answers."""
        sessions, client = self._sessions, session.client
        if sessions.get(client) is session:
            del sessions[client]
        self._using -= 1
        if not self._open:
            self._close_unused()

    def hand_over(self) -> None:
        """Take nothing in any more; what waits and what comes is for the holder of a duplicate of the socket.

        Sessions still send the answers to what they have passed on, and the socket is closed after the last one.
        """
        self._unwatch()
        self._open = False
        self._close_unused()

    def divert(self) -> None:
        """Have what comes from now on go to whoever else is bound to a socket for this address; what waits stays here.

        A connected socket gets only what its peer sends (udp(7)), which is nobody here. It can still send to anyone.
        """
        host, _, *scope = self._socket.getsockname()
        with contextlib.suppress(OSError):
            self._socket.connect((host, DISCARD, *scope))

    def close(self) -> None:
        """Take in what waits, but no further new clients.

        Those that have a session keep it, and the socket is closed after the last one.
        """
        if self._open:
            if not self._using:
                self.divert()
            with contextlib.suppress(BlockingIOError):
                for _ in range(LAST):
                    self._socket.recv(0, socket.MSG_PEEK)
                    self._handler(0)
            self._open = False
            self._close_unused()

    def _close_unused(self) -> None:
        if not self._using and self._socket.fileno() >= 0:
            self._unwatch()
            self._socket.close()
            self.listener.closed(self._socket)

    def _unwatch(self) -> None:
        if self._watched:
            self._watched = False
            self.listener.dropped += self.dropped
            self._reactor.remove(self._fd)


class AnywhereReceiver(Receiver):
    """Receives on all addresses of the machine. A client's name is its address, and the address that it spoke to."""

    def __init__(self, listener: UdpListener, sock: socket.socket) -> None:
        super().__init__(listener, sock)
        self._six = sock.family == socket.AF_INET6
        if self._six:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
            self._level, self._kind = socket.IPPROTO_IPV6, socket.IPV6_PKTINFO
        else:
            sock.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
            self._level, self._kind = socket.IPPROTO_IP, IP_PKTINFO
        self.receive = self._receive_where
        self.reply = self._reply_from

    def _receive_where(self, buffer: bytearray) -> tuple[int, Any]:
        # in6_pktinfo: address, interface. in_pktinfo: interface, our address, destination. Whichever interface a
        # client's datagrams come by, they are the same session's: it is left out, of the client's name too.
        size, ((_, _, info),), _, address = self._socket.recvmsg_into([buffer], ROOM)
        return size, (address, info[:16] + UNSAID if self._six else UNSAID + info[4:8] + UNSAID)

    def _reply_from(self, data: memoryview, client: Any) -> None:
        address, where = client
        self._socket.sendmsg([data], [(self._level, self._kind, where)], 0, address)

    def address_of(self, client: Any) -> tuple[str, int]:
        return client[0][0], client[0][1]

    def _asked_at(self, client: Any) -> tuple[str, int]:
        _, where = client
        host = socket.inet_ntop(AF_INET6, where[:16]) if self._six else socket.inet_ntop(AF_INET, where[4:8])
        return host, self._socket.getsockname()[1]


def receiver_of(listener: UdpListener, sock: socket.socket) -> Receiver:
    """The kind of receiver that the socket needs."""
    return AnywhereReceiver(listener, sock) if is_anywhere(sock) else Receiver(listener, sock)


def _drops(sock: socket.socket) -> int:
    figures: tuple[int, ...] = struct.unpack("9I", sock.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, 36))
    return figures[DROPS]


def _widen(sock: socket.socket) -> None:
    try:
        sock.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, QUEUE)
    except PermissionError:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE)
