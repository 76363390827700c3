"""Datagrams that begin with a PROXY header: the client is who the header says, of each datagram anew.

Their sender, another balancer, may speak for many clients through one socket. So a client is known here by the sender
and by the address in the header. Answers go to the sender, without a header: who gets them it has to know itself, by
the port that it sent from or by what the answer says.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gobetween_py.proxy import proxy_protocol
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.proxy_protocol import AF_UNIX, Address, Header, HeaderError
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.udp.buffer import BUFFER, BURST, VIEW

if TYPE_CHECKING:
    from gobetween_py.proxy.udp.receiver import Receiver
    from gobetween_py.proxy.udp.session import Session


@dataclass(frozen=True, slots=True)
class NamedClient:
    """A client that a header names.

    Attributes:
        sender: the name of the header's sender at the receiver.
        source: the client's address.
        header: of the datagram that has begun the session.
    """

    sender: Any
    source: Address
    header: Header = field(compare=False)


class Unwrapper:
    """Takes the headers off the datagrams of a receiver, whose place it takes before its sessions.

    Args:
        trusted: who may send headers.
    """

    def __init__(self, receiver: Receiver, trusted: Access) -> None:
        self.listener = receiver.listener
        self._receiver = receiver
        self._trusted = trusted

    def ready(self, _events: int) -> None:
        """Pass datagrams on."""
        for _ in BURST:
            try:
                size, sender = self._receiver.receive(BUFFER)
            except BlockingIOError:
                return
            except OSError as error:
                self._receiver.unreadable(error)
                return
            unwrapped = self._unwrap(sender, VIEW[:size])
            if unwrapped is not None:
                self._receiver.pass_on(*unwrapped, self)

    def _unwrap(self, sender: Any, datagram: memoryview) -> tuple[NamedClient, memoryview] | None:
        """Whose the datagram is, and what is in it; None when it is not taken."""
        host, port = self._receiver.address_of(sender)
        if not self._trusted.allows(host):
            self.listener.turn_away(host, port, Reason.UNTRUSTED)
            return None
        try:
            header, size = _parse(datagram)
        except HeaderError as error:
            self.listener.turn_away(host, port, Reason.BAD_HEADER, f"bad PROXY header from {host}: {error}")
            return None
        if not header.family:  # it speaks for itself
            header = self._receiver.header_of(sender)
        return NamedClient(sender, header.source, header), datagram[size:]

    def reply(self, data: memoryview, client: NamedClient) -> object:
        """Send an answer. Raises OSError."""
        return self._receiver.reply(data, client.sender)

    def address_of(self, client: NamedClient) -> tuple[str, int]:
        """The client's host and port; ("", 0) of one that came by a UNIX socket."""
        return ("", 0) if client.header.family == AF_UNIX else client.source

    def header_of(self, client: NamedClient) -> Header:
        """What its header says."""
        return client.header

    def begun(self, session: Session) -> None:
        """The datagrams of its client are for this session from now on."""
        self._receiver.begun(session)

    def forget(self, session: Session) -> None:
        """The session takes no more datagrams of its client."""
        self._receiver.forget(session)

    def ended(self, session: Session) -> None:
        """The session sends no more answers."""
        self._receiver.ended(session)


def _parse(datagram: memoryview) -> tuple[Header, int]:
    """The header, and its length. Raises HeaderError."""
    start = bytes(datagram[: proxy_protocol.LARGEST])
    if not start.startswith(proxy_protocol.SIGNATURE):
        raise HeaderError("it is none of version 2, and UDP has no other")
    parsed = proxy_protocol.parse(start)
    if parsed is None:
        raise HeaderError("it is longer than its datagram")
    return parsed
