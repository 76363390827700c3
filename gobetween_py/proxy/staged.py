"""A connection with more stages than connect and relay: headers of the PROXY protocol, in and out, and the ClientHello.

    accepted -> [PROXY header] -> [ClientHello] -> connecting -> [PROXY header out] -> relaying

In brackets: those that the listener's `Stages` ask for. A listener that asks for none makes plain Connections, which
know nothing of all this.

From the first stage that waits for the client on, the client's socket is watched. What is read is only looked at
(MSG_PEEK), except for the header that is taken off: edge-triggered epoll tells of new bytes only, and only new bytes
can complete what was incomplete. While the backend is dialled, events are kept, and given to the relay when it begins,
since no edge tells of the bytes that wait. Each stage has its deadline in the wheel, so a client that dawdles holds its
own connection and nothing else.
"""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from balancer.sni import Acquire
from gobetween_py.proxy import client_hello, proxy_protocol
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.client_hello import ClientHello, HelloReader, NoHelloError
from gobetween_py.proxy.connection import FAILED, Connection
from gobetween_py.proxy.introduction import introduction
from gobetween_py.proxy.proxy_protocol import Header, HeaderError
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.relay import BUFFER, DONTWAIT, ENDING, PLAIN, READABLE, Half
from gobetween_py.proxy.sockets import unread
from gobetween_py.proxy.wheel import Wheel

if TYPE_CHECKING:
    from gobetween_py.proxy.origination import Origination
    from gobetween_py.proxy.termination import Termination
    from gobetween_py.proxy.tls import Tls

PEEK = int(socket.MSG_PEEK) | DONTWAIT

Route = Callable[[str, tuple[str, ...]], Acquire | None]
"""From the name that a client asks for ("" = none) and its protocols to what picks a backend; None = none may."""

VERSIONS = ("1", "2")


@dataclass(frozen=True, slots=True)
class Stages:
    """What the connections of a listener go through, beside connect and relay. Durations are seconds, 0 = no limit.

    Args:
        trusted: clients that may connect, and have to send a PROXY header first; None = no header is expected.
        header_timeout: how long the header may take.
        route: who gets a client, by its ClientHello; None = it is not read. A client that speaks no TLS, or has said
            nothing in time, is routed as one without a name.
        hello_timeout: how long the ClientHello may take.
        version: of the header that backends get which do not say themselves, "1" or "2"; "" = none.
        termination: TLS towards clients; None = none.
        origination: TLS towards backends; None = none.
        tlvs: what version 2 tells beside the addresses: "authority", "alpn", "unique_id", "ssl", "crc32c".
    """

    trusted: Access | None = None
    header_timeout: float = 0.0
    route: Route | None = None
    hello_timeout: float = 0.0
    version: str = ""
    tlvs: frozenset[str] = frozenset()
    termination: Termination | None = None
    origination: Origination | None = None


class StagedConnection(Connection):
    """A connection of a listener that has `Stages`.

    Attributes:
        header: the PROXY header that came in, if one did.
        hello: the client's, where it was read and there was one.
    """

    __slots__ = ("header", "hello", "late", "reader", "seen", "stages")

    client_tls: Tls | None = None
    """The client's TLS, where it speaks TLS with us."""

    def begin(self) -> None:
        """The first stage there is."""
        stages = self.listener.settings.stages
        assert stages is not None
        self.stages = stages  # as they were when it was accepted: the listener's may change
        self.header: Header | None = None
        self.hello: ClientHello | None = None
        self.late: Callable[[], None] | None = None
        self.seen = 0
        if stages.trusted is not None:
            self._enter(self.read_header, self._header_late, stages.header_timeout)
        elif stages.route is not None:
            self._begin_with_hello()
        else:
            self.connect()

    @property
    def server_name(self) -> str:
        return self.hello.name if self.hello else ""

    # the client's PROXY header

    def read_header(self, events: int) -> None:
        """Take off the header as soon as it is whole; then the client is who it says."""
        data = self._peek(events, proxy_protocol.LARGEST)
        if data is None:
            return
        try:
            parsed = proxy_protocol.parse(data)
        except HeaderError as error:
            self._turn_away(Reason.BAD_HEADER, f"bad PROXY header from {self._who}: {error}")
            return
        if parsed is None:
            if events & ENDING:
                self._turn_away(Reason.BAD_HEADER, f"{self._who} ended within its PROXY header")
            return
        self.header, size = parsed
        self.client.recv(size, DONTWAIT)
        if self.header.family:
            unix = self.header.family == proxy_protocol.AF_UNIX  # as accept() tells of one
            self.host, self.port = ("", 0) if unix else self.header.source
        access = self.listener.access
        if access is not None and not access.allows(self.host):
            self._turn_away(Reason.ACCESS, f"access rules deny {self._who}")
            return
        self._leave(events)
        if self.stages.route is not None:
            self._await_hello()
            self.read_hello(events)  # it may have come together with the header
        else:
            self.ready.append(self._connect_again)

    def _header_late(self) -> None:
        self._turn_away(Reason.NO_HEADER, f"no PROXY header from {self._who} in time")

    # the ClientHello

    def _begin_with_hello(self) -> None:
        """Nearly every client's hello has come with the client: then there is nothing to wait for, and to watch yet."""
        self.reader = HelloReader()
        if unread(self.client_fd) and self._found_hello(select.EPOLLIN):
            if self._acquire_by(self.hello or ClientHello()):
                self.connect()
        elif not self.closed:
            self._enter(self.read_hello, self._hello_late, self.stages.hello_timeout)

    def _await_hello(self) -> None:
        self.reader = HelloReader()
        self._enter(self.read_hello, self._hello_late, self.stages.hello_timeout)

    def read_hello(self, events: int) -> None:
        """Look at the ClientHello; once it is known who the client wants, go on."""
        if self._found_hello(events) and self._acquire_by(self.hello or ClientHello()):
            self._leave(events)
            self.ready.append(self._connect_again)

    def _found_hello(self, events: int) -> bool:
        """Whether what the client has sent tells who it wants; `hello` stays None where that is nobody."""
        data = self._peek(events, client_hello.LARGEST)
        if data is None:
            return False
        try:
            self.hello = self.reader.read(data)
        except NoHelloError:
            return True
        return self.hello is not None or bool(events & ENDING)

    def _hello_late(self) -> None:
        """Who has begun a hello goes; who has said nothing may speak a protocol whose server speaks first."""
        if self.reader.begun:
            self._turn_away(Reason.NO_HELLO, f"no whole ClientHello from {self._who} in time")
        elif self._acquire_by(ClientHello()):
            self._leave(0)
            self.connect()  # not from an event: here new fds may be made

    def _acquire_by(self, hello: ClientHello) -> bool:
        """Have a backend picked that is meant for this client; False when it is turned away."""
        assert self.stages.route is not None
        acquire = self.stages.route(hello.name, hello.protocols)
        if acquire is None:
            self._turn_away(Reason.SNI, f"no backend for the server name {hello.name!r}")
            return False
        self.acquire = acquire
        return True

    # the backend's PROXY header

    def connecting(self, events: int) -> None:
        """The backend has answered: tell it who the client is, and relay."""
        super().connecting(events)
        up, backend = self.up, self.backend
        if up is None or backend is None:
            return
        version = backend.spec.proxy_protocol or self.stages.version
        if version in VERSIONS:
            self._introduce(up, introduction(self, version))
        if self.seen and not self.closed:
            self.first(self.seen)

    def _introduce(self, up: Half, header: bytes) -> None:
        """Send the header before any byte of the client, and in one piece with what the client has sent already.

        On its own the header would cost a packet more, and a wake-up of the backend.
        """
        try:
            data = header + self.client.recv(BUFFER, DONTWAIT)
        except BlockingIOError:
            data = header
        except OSError:
            self.reset(self.client)
            return
        try:
            sent = up.sink.send(data, DONTWAIT)
        except BlockingIOError:
            sent = 0
        except OSError:
            self.reset(up.sink)
            return
        self.values[up.cell] += sent
        up.moved += sent
        if sent < len(data):
            up.hold(data, sent)

    # what the stages that wait for the client have in common

    def _enter(self, handler: Callable[[int], None], late: Callable[[], None], timeout: float) -> None:
        """Wait for the client; `late` is called when it takes longer than the timeout."""
        self.late = late
        if self.seen:
            self._hand_on(self.client_fd, handler)
        else:
            self.listener.reactor.add(self.client_fd, handler)
            self.watch = self._hand_on
        if timeout:
            self._sit(self.wheel.now + Wheel.ticks(timeout))

    def _leave(self, events: int) -> None:
        """The client said what it had to; what else it says is for the next stage, or for the backend."""
        self.late = None
        self._leave_slot()
        self.seen |= PLAIN | events
        self._hand_on(self.client_fd, self._meanwhile)

    def _hand_on(self, fd: int, handler: Callable[[int], None]) -> None:
        """Have the client's events go somewhere else: it is in epoll already."""
        self.listener.reactor.handlers[fd] = handler

    def _meanwhile(self, events: int) -> None:
        """Something comes from the client while a backend is dialled."""
        if events & FAILED:
            self.close(Reason.CLIENT_RESET)
        else:
            self.seen |= events

    def _peek(self, events: int, size: int) -> bytes | None:
        """What the client has sent so far, and leave it there; None when that is nothing, or the client is gone."""
        if not events & READABLE:  # the first event often tells of nothing but room to write
            return None
        if events & FAILED:  # what it sent before may still be there
            self.close(Reason.CLIENT_RESET)
            return None
        try:
            data = self.client.recv(size, PEEK)
        except BlockingIOError:
            return None
        except OSError:
            self.close(Reason.CLIENT_RESET)
            return None
        if not data:  # a port check of a load balancer, for instance
            self.close(Reason.CLIENT)
            return None
        return data

    @property
    def _who(self) -> str:
        return self.host or "a client of a UNIX socket"

    def _turn_away(self, reason: Reason, why: str) -> None:
        self.listener.unserved(reason, why)
        self.close(reason)

    def expire(self, now: int) -> None:
        if self.late is None:
            super().expire(now)
        else:
            self.slot = None
            self.late()

    def close(self, reason: Reason) -> None:
        if self.up is None and not self.closed:
            self.listener.reactor.handlers.pop(self.client_fd, None)
        super().close(reason)
