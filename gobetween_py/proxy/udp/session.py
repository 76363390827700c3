"""One client and the backend that its datagrams go to.

A session ends when nothing has moved either way for the idle timeout, after `max_responses` answers, or when its
backend refuses: the client's next datagram then begins another one, with another backend. After `max_requests`
datagrams it only waits for answers, while the client's next datagram begins another session.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable
from time import monotonic
from typing import TYPE_CHECKING, Any, Protocol

from balancer import RX, TOTAL, TX, Backend
from gobetween_py.proxy.reason import BACKEND, CLIENT, Reason
from gobetween_py.proxy.udp.buffer import BUFFER, BURST, VIEW

if TYPE_CHECKING:
    from gobetween_py.proxy.proxy_protocol import Header
    from gobetween_py.proxy.udp.listener import UdpListener
    from gobetween_py.proxy.wheel import Slot


class Origin(Protocol):
    """Where datagrams come in: a receiver, or what takes PROXY headers off what it receives.

    A client has a name there, which only it understands.
    """

    listener: UdpListener

    def reply(self, data: memoryview, client: Any, /) -> object:
        """Send an answer to a client. Raises OSError."""

    def address_of(self, client: Any, /) -> tuple[str, int]:
        """The client's host and port."""

    def header_of(self, client: Any, /) -> Header:
        """The PROXY header that tells of a client."""

    def begun(self, session: Session, /) -> None:
        """The datagrams of its client are for this session from now on."""

    def forget(self, session: Session, /) -> None:
        """The session takes no more datagrams of its client."""

    def ended(self, session: Session, /) -> None:
        """The session sends no more answers."""


class Session:
    """A client and its backend, from construction on.

    Args:
        receiver: where its datagrams come in and answers go out.
        client: its name there.
        backend: acquired for it; released at its end.
        dials: backends tried for this datagram, this one included.

    Raises:
        OSError: from the constructor; the backend stays acquired.
    """

    __slots__ = (
        "active",
        "answered",
        "backend",
        "begun",
        "client",
        "closed",
        "dials",
        "listener",
        "number",
        "received",
        "receiver",
        "requests",
        "responses",
        "rx",
        "sent",
        "slot",
        "sockaddr",
        "tx",
        "upstream",
        "values",
        "wheel",
    )

    relaying = True
    server_name = ""

    def __init__(self, receiver: Origin, client: Hashable, backend: Backend, dials: int) -> None:
        self.listener = listener = receiver.listener
        self.upstream = upstream = listener.dial(receiver, client, backend)
        self.receiver = receiver
        self.client = client
        self.backend = backend
        self.sockaddr = backend.sockaddr
        self.dials = dials
        self.values: array[int] = listener.values
        row = backend.row
        self.rx = row + RX
        self.tx = row + TX
        self.requests = self.responses = 0
        self.sent = self.received = 0
        self.closed = False
        self.begun = monotonic()
        self.answered = 0.0
        self.wheel = wheel = listener.wheel
        self.active = now = wheel.now
        self.slot: Slot | None = wheel.add(self, now + listener.idle_ticks)
        self.number = upstream.fileno()
        listener.reactor.add_level(self.number, self.ready)
        self.values[row + TOTAL] += 1
        receiver.begun(self)
        listener.begun(self)

    @property
    def host(self) -> str:
        """The client's address."""
        return self.receiver.address_of(self.client)[0]

    @property
    def port(self) -> int:
        """The client's port."""
        return self.receiver.address_of(self.client)[1]

    @property
    def attempts(self) -> int:
        """Different backends tried."""
        return self.dials

    def send(self, data: memoryview) -> bool:
        """Pass a datagram of the client on; False when the backend has refused earlier ones and the session is over."""
        try:
            self.upstream.send(data)
        except OSError as error:
            return not self._failed(error)
        self.active = self.wheel.now
        self.requests = requests = self.requests + 1
        size = len(data)
        self.sent += size
        self.values[self.tx] += size
        if requests == self.listener.max_requests:
            self.receiver.forget(self)
            if self.listener.unanswered:
                self.close(CLIENT)
        return True

    def ready(self, _events: int) -> None:
        """Pass answers on: as many as there are requests, then what else is there.

        A service that answers each request once is not asked for more than that, because a read that finds nothing
        costs an exception, 0.9 µs.
        """
        for _ in BURST:
            try:
                size = self.upstream.recv_into(BUFFER)
            except BlockingIOError:
                break
            except OSError as error:
                self._failed(error)
                return
            try:
                self.receiver.reply(VIEW[:size], self.client)
            except OSError as error:
                self.listener.not_taken(error)
            self.responses = responses = self.responses + 1
            self.received += size
            self.values[self.rx] += size
            if responses == self.listener.max_responses:
                self.close(BACKEND)
                return
            if responses == self.requests:
                break
        self.active = self.wheel.now
        if not self.answered:
            self.answered = monotonic()

    def _failed(self, error: OSError) -> bool:
        """The kernel did not take a datagram, or tells that one was refused; whether that ends the session."""
        refused = self.listener.not_sent(self.backend, self.sockaddr, error)
        if refused:
            self.close(Reason.CONNECT)
        return refused

    def expire(self, now: int) -> None:
        """The timer wheel reached this session's slot: end it, or sit down in the slot of its new deadline."""
        deadline = self.active + self.listener.idle_ticks
        if now >= deadline:
            self.slot = None
            self.close(self.listener.idle_reason)
        else:
            self.slot = self.wheel.add(self, deadline)

    def abort(self) -> None:
        """A defect was met while handling an event."""
        self.close(Reason.DEFECT)

    def close(self, reason: Reason) -> None:
        """End it, if it has not ended, and give back everything."""
        if self.closed:
            return
        self.closed = True
        listener = self.listener
        if self.slot is not None:
            self.slot.discard(self)
            self.slot = None
        del listener.reactor.handlers[self.number]
        self.upstream.close()
        listener.release(self.backend)
        self.receiver.ended(self)
        listener.ended(self, reason)

    break_off = close
    """Datagrams are whole or not there: nobody takes what is missing for the end."""
