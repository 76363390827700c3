"""A connection with TLS towards the client, towards the backend, or both.

    accepted -> [PROXY header] -> [client's handshake] -> connecting -> [PROXY header out] -> [backend's handshake]
             -> relaying

No backend is dialled for a client that has not proved that it speaks TLS. A step of a handshake takes 100 µs of CPU and
more, so it is ready work: between two of them everybody else gets a turn.
"""

from __future__ import annotations

import contextlib
import os
import select
import ssl
from typing import Any

from balancer import TX
from gobetween_py.proxy.client_hello import LARGEST, ClientHello, HelloReader, NoHelloError
from gobetween_py.proxy.connection import FAILED, Connection
from gobetween_py.proxy.introduction import introduction
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.relay import BUFFER, DONTWAIT, ENDING
from gobetween_py.proxy.sockets import acknowledge, unread
from gobetween_py.proxy.staged import VERSIONS, StagedConnection
from gobetween_py.proxy.termination import ACME_TLS, Termination
from gobetween_py.proxy.tls import AGAIN, Tls, TlsHalf, WeakSocket, ends_with_client, reason_of, wrap
from gobetween_py.proxy.wheel import Wheel


class SecuredConnection(StagedConnection):
    """A connection of a listener whose `Stages` have TLS.

    Attributes:
        client_tls, backend_tls: the ssl objects; None = that side is plain, or not that far yet.
    """

    __slots__ = ("__weakref__", "backend_tls", "client_tls", "queued")

    half = TlsHalf
    endpoint = WeakSocket

    def begin(self) -> None:
        """The first stage there is."""
        self.client_tls: Tls | None = None
        self.backend_tls: Tls | None = None
        self.queued = False  # whether a step of a handshake is ready work
        os.set_blocking(self.client_fd, False)
        super().begin()

    # the client's handshake

    def connect(self) -> None:
        """Dial a backend, and before the first one wait for the client's handshake."""
        termination = self.stages.termination
        if termination is None or self.client_tls is not None:
            super().connect()
        else:
            self._enter(self.client_speaks, self._client_late, termination.timeout)
            # What came along with a PROXY header, or was looked at, brings no event again.
            if self.seen and self._peek(select.EPOLLIN | self.seen, 1) is not None:
                self._queue(self._shake_client)

    def client_speaks(self, events: int) -> None:
        """There may be more of the client's handshake, or room for ours."""
        if events & ENDING:  # no edge tells of it again when the handshake is through
            self.seen |= events
        if self.client_tls is not None or self._has_spoken(events):
            self._queue(self._shake_client)

    def _has_spoken(self, events: int) -> bool:
        """Whether it has begun its handshake: one that says nothing costs no ssl object."""
        if events & ENDING:
            return self._peek(events, 1) is not None
        return bool(events & select.EPOLLIN)

    def _queue(self, step: Any) -> None:
        if not self.queued:
            self.queued = True
            self.ready.append(step)

    def _shake_client(self) -> None:
        self.queued = False
        termination = self.stages.termination
        if self.closed or self.late is None or termination is None:
            return
        if self.client_tls is None:
            context = self._context_beside_proofs(termination) if termination.proofs else termination.context
            if context is None:
                return
            self.client_tls = wrap(context, self.client, self, server_side=True)
        try:
            self.client_tls.do_handshake()
        except AGAIN:
            return
        except OSError as error:
            with contextlib.suppress(OSError):  # bytes left unread make a reset of the end, which outruns our alert
                self.client.recv(BUFFER, DONTWAIT)
            self._turn_away(Reason.TLS, f"TLS handshake with {self._who}: {reason_of(error)}")
            return
        self._leave(0)
        if ends_with_client(self.client_tls) and not unread(self.client_fd):
            acknowledge(self.client)
        protocol = self.client_tls.selected_alpn_protocol()
        if protocol == ACME_TLS:
            self.close(Reason.PROOF)
            return
        if protocol is not None:
            self.hello = ClientHello(self.hello.name if self.hello else "", (protocol,))
        super().connect()

    def _context_beside_proofs(self, termination: Termination) -> ssl.SSLContext | None:
        """What the handshake begins with while a proof is asked for; None = the client has not said enough, or is gone.

        OpenSSL has the context chosen by the name before it tells the protocols, so we read the ClientHello first.
        """
        data = self._peek(select.EPOLLIN, LARGEST)
        if data is None:
            return None
        try:
            hello = HelloReader().read(data)
        except NoHelloError:
            return termination.context
        if hello is None:
            return termination.context if self.seen & ENDING else None
        proof = termination.proofs.get(hello.name.lower()) if hello.protocols == (ACME_TLS,) else None
        return proof or termination.context

    def asked_for(self, name: str) -> None:
        """In its handshake the client has asked for this server name."""
        if self.hello is None and name.isprintable() and " " not in name:
            self.hello = ClientHello(name.removesuffix("."))

    def _client_late(self) -> None:
        self._turn_away(Reason.NO_TLS, f"no TLS handshake with {self._who} in time")

    # the backend's handshake

    def connecting(self, events: int) -> None:
        """The backend has answered: begin its handshake, or relay; or try another."""
        if not events & FAILED and self.backend is not None:
            version = self.backend.spec.proxy_protocol or self.stages.version
            if version in VERSIONS and not self._send_header(version):
                return
            if self.stages.origination is not None:
                self._greet()
                return
        self._relay(events)

    def _send_header(self, version: str) -> bool:
        """The PROXY header goes before everything, also before TLS (PROXY protocol, 2). Whether the backend took it."""
        upstream, backend = self.upstream, self.backend
        assert upstream is not None
        assert backend is not None
        header = introduction(self, version)
        try:
            sent = upstream.send(header, DONTWAIT)  # into an empty buffer
        except OSError as error:
            self._fail(reason_of(error))
            return False
        self.values[backend.row + TX] += sent
        if sent < len(header):
            self._fail("no room for the PROXY header")
            return False
        return True

    def _greet(self) -> None:
        upstream, backend, origination = self.upstream, self.backend, self.stages.origination
        assert upstream is not None
        assert backend is not None
        assert origination is not None
        self._leave_slot()
        try:
            self.backend_tls = origination.wrap(upstream, backend, self)
        except ValueError as error:  # UnicodeError too, of a name that is none
            self._fail(str(error))
            return
        self.listener.reactor.handlers[upstream.fileno()] = self.backend_speaks
        self.late = self._backend_late
        if origination.timeout:
            self._sit(self.wheel.now + Wheel.ticks(origination.timeout))
        self._queue(self._shake_backend)

    def backend_speaks(self, _events: int) -> None:
        """There may be more of the backend's handshake, or room for ours."""
        self._queue(self._shake_backend)

    def _shake_backend(self) -> None:
        self.queued = False
        tls, backend, origination = self.backend_tls, self.backend, self.stages.origination
        if self.closed or tls is None or backend is None or origination is None:
            return
        try:
            tls.do_handshake()
        except AGAIN:
            return
        except OSError as error:
            origination.forget(backend)
            self._fail(f"TLS handshake: {reason_of(error)}")
            return
        self.late = None
        self._leave_slot()
        self._relay(0)
        up = self.up
        if up is not None and not self.closed:
            if origination.resume:
                up.opposite.read = self._read_first  # type: ignore[attr-defined]  # halves are of our class
            up.opposite.ready(select.EPOLLIN)  # some of its data may have come along

    def _relay(self, events: int) -> None:
        """Relay, and begin with what the client has said since its handshake."""
        Connection.connecting(self, events)
        up, seen = self.up, self.seen
        if up is not None and seen and not self.closed:
            self.first(seen if seen & ENDING or unread(self.client_fd) else 0)

    def _read_first(self, size: int) -> bytes:
        """Read from the backend, and keep its session as soon as data came: in TLS 1.3 tickets come before the data."""
        tls, backend, origination, up = self.backend_tls, self.backend, self.stages.origination, self.up
        assert tls is not None
        assert backend is not None
        assert origination is not None
        assert up is not None
        data = tls.read(size)
        up.opposite.read = tls.read  # type: ignore[attr-defined]
        origination.keep(tls, backend)
        return data

    def _backend_late(self) -> None:
        self._refused("no TLS handshake in time")
        self.connect()  # at once: the wheel turns between two batches, and nobody looks at the ready list

    def _fail(self, why: str) -> None:
        """This backend will not do: try another."""
        self._leave_slot()
        self._refused(why)
        self.ready.append(self._connect_again)

    def _refused(self, why: str) -> None:
        self.backend_tls = self.late = None
        super()._refused(why)

    # the end

    def close(self, reason: Reason) -> None:
        if not self.closed:
            super().close(reason)
            self.client_tls = self.backend_tls = None
