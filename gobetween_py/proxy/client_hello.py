"""The beginning of a TLS connection: the ClientHello, and the server name and protocols in it.

Nothing is decrypted, and nothing is consumed: the reader is given what the socket holds, from its first byte on, each
time more has come, until it knows. What was whole before is not read again. Follows RFC 8446 (TLS 1.3, 4.1.2 and 5.1;
the message of older versions has the same form), RFC 6066 (server_name) and RFC 7301 (ALPN).

Where two servers could read a message differently it counts as malformed: we must not send a client by one name to a
backend that takes it for another.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

MESSAGE = 16_384
"""Bytes of a ClientHello at most, without the headers of records and message."""

LARGEST = 1 << 15
"""Bytes of the stream in which it has to be whole: so there may be many small records."""

_HANDSHAKE, _CLIENT_HELLO = 22, 1
_BEGINNING = bytes([_HANDSHAKE, 3])
_RECORD_HEADER, _MESSAGE_HEADER = 5, 4
_SERVER_NAME, _ALPN = 0, 16
_HOST_NAME = 0
_two_numbers = struct.Struct(">HH").unpack_from
_name_header = struct.Struct(">HBH").unpack_from


class NoHelloError(ValueError):
    """The client speaks another protocol than TLS, or sent a malformed or too large ClientHello."""


class ClientHello(NamedTuple):
    """What a client wants.

    Attributes:
        name: the server name as it was sent, without a dot at its end; "" = it named none.
        protocols: of ALPN, the client's favourite first.
    """

    name: str = ""
    protocols: tuple[str, ...] = ()


class HelloReader:
    """Reads one client's hello."""

    __slots__ = ("_at", "_message", "begun")

    def __init__(self) -> None:
        self.begun = False  # whether it was given anything
        self._at = 0  # where the first record starts that is not whole yet
        self._message = b""  # what the whole ones before hold

    def read(self, data: bytes) -> ClientHello | None:
        """The hello, None as long as it is not whole.

        Args:
            data: all that has come so far: what it was given before, and perhaps more.

        Raises:
            NoHelloError: whatever may follow, there is none.
        """
        at, message, end = self._at, self._message, len(data)
        if not at and end > 9 and data[5] == _CLIENT_HELLO and data[:2] == _BEGINNING:
            # Nearly every client's: one record, whole. What is wrong with it is found out below.
            length, size = data[3] << 8 | data[4], data[6] << 16 | data[7] << 8 | data[8]
            if length <= MESSAGE and 4 + size <= length <= end - 5:
                return _parse(data, 9, 9 + size)
        self.begun = self.begun or end > 0
        while at < end:
            if data[at] != _HANDSHAKE or (at + 1 < end and data[at + 1] != 3):
                raise NoHelloError("no TLS handshake")
            if at + _RECORD_HEADER > end:
                break
            length = data[at + 3] << 8 | data[at + 4]
            if not 0 < length <= MESSAGE:
                raise NoHelloError(f"a record of {length} bytes")
            start = at + _RECORD_HEADER
            if not message and start < end and data[start] != _CLIENT_HELLO:
                raise NoHelloError("no ClientHello")
            if start + length > end:
                break
            at = start + length
            message += data[start:at]
            if len(message) >= _MESSAGE_HEADER:
                size = int.from_bytes(message[1:4])
                if size > MESSAGE:
                    raise NoHelloError(f"a ClientHello of {size} bytes")
                if len(message) >= _MESSAGE_HEADER + size:
                    return _parse(message, _MESSAGE_HEADER, _MESSAGE_HEADER + size)
        if end >= LARGEST:
            raise NoHelloError(f"no whole ClientHello in {LARGEST} bytes")
        self._at, self._message = at, message
        return None


def _parse(data: bytes, at: int, end: int) -> ClientHello:
    """The body of a ClientHello, which lies in data between two places."""
    try:
        at += 34  # legacy_version, random
        at += 1 + data[at]  # legacy_session_id
        at += 2 + (data[at] << 8 | data[at + 1])  # cipher_suites
        at += 1 + data[at]  # legacy_compression_methods
        if at == end:  # TLS 1.2 and before may have no extensions
            return ClientHello()
        if at + 2 + (data[at] << 8 | data[at + 1]) != end:
            raise NoHelloError("extensions of another length than they say")
        at += 2
        name = protocols = None
        while at < end:
            kind, size = _two_numbers(data, at)
            start = at + 4
            at = start + size
            if at > end:
                raise NoHelloError("an extension that is cut off")
            if kind == _SERVER_NAME:
                if name is not None:
                    raise NoHelloError("two server names")
                name = _server_name(data[start:at])
            elif kind == _ALPN:
                if protocols is not None:
                    raise NoHelloError("two lists of protocols")
                protocols = _protocols(data[start:at])
    except (IndexError, struct.error):
        raise NoHelloError("a ClientHello that ends too early") from None
    return ClientHello(name or "", protocols or ())


def _server_name(data: bytes) -> str:
    """RFC 6066, 3: one host_name in a list. Other types of names were never defined."""
    whole, kind, size = _name_header(data)
    if kind != _HOST_NAME or whole != size + 3 or len(data) != size + 5 or not 0 < size <= 255:
        raise NoHelloError("a malformed server name")
    name = str(data[5:], "latin-1")
    if not name.isascii() or not name.isprintable() or " " in name:
        raise NoHelloError("a server name that is none")
    return name.removesuffix(".")


def _protocols(data: bytes) -> tuple[str, ...]:
    """RFC 7301, 3.1."""
    if len(data) < 2 or data[0] << 8 | data[1] != len(data) - 2:
        raise NoHelloError("a malformed list of protocols")
    found, at = [], 2
    while at < len(data):
        size = data[at]
        protocol = data[at + 1 : at + 1 + size]
        if not size or len(protocol) < size:
            raise NoHelloError("a malformed list of protocols")
        found.append(protocol.decode("latin-1"))
        at += 1 + size
    return tuple(found)
