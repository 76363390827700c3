"""The front of a UDP server: lets clients in, picks their backends, and avoids for a moment those that refuse."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Hashable
from typing import Any

from balancer import REFUSED, Backend, Counters, Pool
from gobetween_py.proxy.acceptor import EXHAUSTED
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.anywhere import includes
from gobetween_py.proxy.front import GRACE, Front
from gobetween_py.proxy.introduction import introduction_of_datagrams
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.sockets import CSocket
from gobetween_py.proxy.source import SourceError
from gobetween_py.proxy.udp.oneway import OneWay
from gobetween_py.proxy.udp.receiver import Receiver, receiver_of
from gobetween_py.proxy.udp.session import Origin, Session
from gobetween_py.proxy.udp.upstream import connected
from gobetween_py.proxy.wheel import Wheel

IDLE = 60.0
"""Seconds of silence that end a session whose server has no idle timeout: an answer that got lost would leave it open
for ever."""

AVOIDED = 10.0
"""Seconds that a backend which refused gets no new session, as long as another one can have it. The datagram that finds
out is lost, and what asks seldom should not lose every other one."""

REFUSALS = frozenset(
    {
        errno.ECONNREFUSED,
        errno.EHOSTUNREACH,
        errno.EHOSTDOWN,
        errno.ENETUNREACH,
        errno.ENETDOWN,
        errno.ENONET,
        errno.ENOPROTOOPT,
        errno.EACCES,  # a firewall on the way, over IPv6: administratively prohibited
        errno.ENOENT,  # of a UNIX socket
    }
)
"""What means that a backend is not there. Not among them: EAGAIN and ENOBUFS (a full queue), EMSGSIZE (more than the
path takes in one piece; the kernel cuts up the next one), EPERM (a firewall of this machine)."""

NO_ROOM = EXHAUSTED | {errno.EAGAIN}
"""This machine's fault: no fd, no memory, no free port (EAGAIN, connect(2))."""


class UdpListener(Front[Receiver]):
    """Takes datagrams from bound UDP sockets; see `Front` for the arguments.

    Attributes:
        avoided: backends that refused a moment ago.
        dropped: datagrams that the kernel did not take, or that found the queue of a socket full that is closed now.
    """

    def __init__(
        self, name: str, sock: socket.socket, reactor: Reactor, pool: Pool, counters: Counters, **more: Any
    ) -> None:
        self.avoided: set[Backend] = set()
        self.dropped = 0
        self._ways: dict[Backend, OneWay] = {}
        super().__init__(name, sock, reactor, pool, counters, **more)

    def _open(self, sock: socket.socket) -> Receiver:
        receiver = receiver_of(self, sock)
        receiver.expect_headers(self._trusted)
        return receiver

    @property
    def _trusted(self) -> Access | None:
        """Who sends datagrams that begin with a PROXY header; None = they begin with none."""
        return self.settings.stages.trusted if self.settings.stages else None

    def configure(self, settings: Settings) -> None:
        for way in tuple(self._ways.values()):
            if way.source != settings.source:
                way.close()
        super().configure(settings)
        asked = settings.datagrams
        self.max_requests = asked.max_requests
        self.max_responses = asked.max_responses
        self.hash_port = asked.hash_port
        self.transparent = self.source is not None and self.source.transparent
        self.unanswered = asked.max_requests == 1 and not asked.max_responses
        if not self.idle_ticks:
            self.idle_ticks = Wheel.ticks(IDLE)
        for receiver in self._entrances.values():
            receiver.expect_headers(self._trusted)

    def _set_door(self) -> None:
        """Who is trusted is asked before there is a client: its header comes with each datagram."""
        self._door, self._door_reason = self._access, Reason.ACCESS

    def _leave(self, sock: socket.socket, entrance: Receiver) -> None:
        self.reactor.loop.call_later(GRACE, self._close_left, sock, entrance)

    def _close_left(self, sock: socket.socket, entrance: Receiver) -> None:
        """Shut the door of an address that was left, unless it is within the new ones.

        As long as its sessions hold the socket, the kernel gives it all that is sent there: strangers must be heard.
        """
        if entrance.in_use and any(includes(other, sock) for other in self._entrances if other is not sock):
            self._leave(sock, entrance)
        else:
            self._close(sock, entrance)

    # told by receivers

    def take(self, receiver: Origin, client: Hashable, data: memoryview) -> None:
        """A datagram of a client without a session: begin one, or turn the client away."""
        host, port = receiver.address_of(client)
        if not self.let_in(host, port):
            return
        for dial in range(1, self.attempts + 1):
            backend = self._pick(host, port)
            if backend is None:
                self.turn_away(host, port, Reason.NO_BACKEND if dial == 1 else Reason.CONNECT)
                return
            sockaddr = backend.sockaddr
            try:
                # A socket can only send from one port, so each client's own port takes a socket of its own.
                if self.unanswered and not self.transparent:
                    taken = self._way(backend).send(data, self._introduction(receiver, client, backend))
                else:
                    taken = Session(receiver, client, backend, dial).send(data)
            except OSError as error:
                ours = isinstance(error, SourceError) or error.errno in NO_ROOM
                if not ours:
                    self._count_refusal(backend, sockaddr, error)
                self.release(backend)
                if ours:
                    self.turn_away(host, port, Reason.RESOURCES, error.strerror or str(error))
                    return
            else:
                if taken:
                    return
        self.turn_away(host, port, Reason.CONNECT)

    def turn_away(self, host: str, port: int, reason: Reason, why: str = "") -> None:
        """A client gets no backend, and no session whose end would tell of it."""
        self.unserved(reason, why)
        for told in self.on_refusal:
            told(host, port, reason)

    def _pick(self, host: str, port: int) -> Backend | None:
        client = f"{host}#{port}" if self.hash_port else host
        backend = self.acquire(client, self.avoided)
        return self.acquire(client) if backend is None and self.avoided else backend

    def _way(self, backend: Backend) -> OneWay:
        way = self._ways.get(backend)
        if way is not None and way.sockaddr != backend.sockaddr:
            way.close()
            way = None
        if way is None:
            way = self._ways[backend] = OneWay(self, backend)
        return way

    @property
    def lost(self) -> int:
        """Datagrams that got lost here."""
        return self.dropped + sum(receiver.dropped for receiver in self._entrances.values())

    # told by sessions

    def dial(self, receiver: Origin, client: Hashable, backend: Backend) -> CSocket:
        """Return a socket to a backend for the datagrams of one client. Raises OSError."""
        header = self._introduction(receiver, client, backend) if self.settings.stages else b""
        if self.source is None:
            return connected(backend, header=header)
        return connected(backend, self.source, *receiver.address_of(client), header=header)

    def _introduction(self, receiver: Origin, client: Hashable, backend: Backend) -> bytes:
        """What goes before a client's datagrams: a PROXY header of version 2, where the backend wants one."""
        stages = self.settings.stages
        if stages is None or (backend.spec.proxy_protocol or stages.version) != "2":
            return b""
        return introduction_of_datagrams(receiver.header_of(client), stages.tlvs)

    def not_sent(self, backend: Backend, sockaddr: Any, error: OSError) -> bool:
        """A datagram did not get to an acquired backend, or not to its service; whether it is the backend's fault."""
        if error.errno in REFUSALS:
            self._count_refusal(backend, sockaddr, error)
            return True
        self.not_taken(error)
        return False

    def not_taken(self, error: OSError) -> None:
        """The kernel did not take a datagram."""
        self.dropped += 1
        self.log_rarely("lost", f"datagram lost: {error.strerror}")

    def _count_refusal(self, backend: Backend, sockaddr: Any, error: OSError) -> None:
        if self.next_address(backend, sockaddr):
            return
        self.values[backend.row + REFUSED] += 1
        self.refused(backend, os.strerror(error.errno or 0))
        if backend not in self.avoided:
            self.avoided.add(backend)
            self.reactor.loop.call_later(AVOIDED, self.avoided.discard, backend)

    def left(self, way: OneWay) -> None:
        """A way to a backend is closed."""
        if self._ways.get(way.backend) is way:
            del self._ways[way.backend]

    # the end

    def close_connections(self, reason: Reason = Reason.SHUTDOWN) -> int:
        for way in tuple(self._ways.values()):
            way.close()
        return super().close_connections(reason)
