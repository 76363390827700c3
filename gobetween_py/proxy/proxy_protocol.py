"""The header of the PROXY protocol, versions 1 and 2: who really is the client of a relayed connection.

Bytes to `Header` and back, without I/O. Follows the specification of HAProxy Technologies,
https://www.haproxy.org/download/2.6/doc/proxy-protocol.txt; the numbers in brackets are its sections.
"""

from __future__ import annotations

import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from struct import Struct

LARGEST = 4096
"""Bytes of a header at most. Version 2 could have 65,551, but nobody has so much to say before the first byte."""

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LINE = 107  # bytes of a version 1 header at most, CRLF included [2.1]

# Types of TLVs [2.2]
ALPN, AUTHORITY, CRC32C, UNIQUE_ID, SSL = 0x01, 0x02, 0x03, 0x05, 0x20
TOLD = {"alpn": ALPN, "authority": AUTHORITY, "unique_id": UNIQUE_ID, "ssl": SSL}
# Within that of SSL [2.2.6]: bits of its first byte, and types of its own TLVs
OVER_SSL, CERTIFIED_NOW, CERTIFIED = 0x01, 0x02, 0x04
SSL_VERSION, SSL_COMMON_NAME, SSL_CIPHER = 0x21, 0x22, 0x23

AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX = map(int, (socket.AF_UNSPEC, socket.AF_INET, socket.AF_INET6, socket.AF_UNIX))
_FAMILIES = (AF_UNSPEC, AF_INET, AF_INET6, AF_UNIX)  # as version 2 numbers them
_IP_SIZES = {AF_INET: 4, AF_INET6: 16}
_PATH = 108  # bytes of a UNIX address
_MAPPED = "::ffff:"

_FIXED = Struct(">12sBBH")
_PORTS = Struct(">HH")
_TLV = Struct(">BH")
_SSL = Struct(">BI")
_TCP4 = _FIXED.pack(SIGNATURE, 0x21, 0x11, 12)
_PORT = rb"(0|[1-9][0-9]{0,4})"
_TCP = re.compile(rb"PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) " + _PORT + b" " + _PORT + b"\r\n")
_UNKNOWN = re.compile(rb"PROXY UNKNOWN(\r\n| )")

Address = tuple[str, int]
"""(IP address, port), or (path, 0) of a UNIX socket."""
Tlvs = tuple[tuple[int, bytes], ...]
"""(type, value) in their order."""


class HeaderError(ValueError):
    """The bytes are no header of the PROXY protocol, or a broken one. The connection is to be closed [2]."""


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Attributes:
        family: AF_INET, AF_INET6 or AF_UNIX; AF_UNSPEC (0) where the sender does not know, or speaks for itself
            (UNKNOWN, UNSPEC, LOCAL): then the addresses are empty, and those of the connection count.
        source: the client.
        destination: what the client connected to.
        tlvs: of version 2, without the checksum, which was right.
        datagram: UDP instead of TCP.
    """

    family: int = AF_UNSPEC
    source: Address = ("", 0)
    destination: Address = ("", 0)
    tlvs: Tlvs = ()
    datagram: bool = False

    def value(self, kind: int) -> bytes | None:
        """The value of the first TLV of a type."""
        return next((value for type_, value in self.tlvs if type_ == kind), None)


def between(family: int, source: Address, destination: Address, tlvs: Tlvs = ()) -> Header:
    """The header of a connection between two socket addresses of a family. IPv4 on an IPv6 socket is told as IPv4."""
    if family == AF_INET6 and source[0].startswith(_MAPPED) and destination[0].startswith(_MAPPED):
        cut = len(_MAPPED)
        return Header(AF_INET, (source[0][cut:], source[1]), (destination[0][cut:], destination[1]), tlvs)
    return Header(family, source, destination, tlvs)


def parse(data: bytes) -> tuple[Header, int] | None:
    """The header that bytes begin with, and its length; None as long as it is not whole.

    Raises:
        HeaderError: whatever may follow, this is none.
    """
    if data.startswith(SIGNATURE):
        return _parse_v2(data)
    if data.startswith(b"PROXY "):
        return _parse_v1(data)
    if SIGNATURE.startswith(data) or b"PROXY ".startswith(data):
        return None
    raise HeaderError("no PROXY protocol header")


def _parse_v1(data: bytes) -> tuple[Header, int] | None:
    end = data.find(b"\n", 0, LINE)
    if end < 0:
        if len(data) >= LINE:
            raise HeaderError(f"no CRLF in the first {LINE} bytes")
        return None
    line = data[: end + 1]
    if not line.endswith(b"\r\n"):
        raise HeaderError("a line that does not end in CRLF")
    if _UNKNOWN.match(line):
        return Header(), len(line)
    match = _TCP.fullmatch(line)
    if match is None:
        raise HeaderError("a malformed line")
    version, *hosts = (group.decode("ascii") for group in match.groups()[:3])
    ports = [int(port) for port in match.groups()[3:]]
    if max(ports) > 65535:
        raise HeaderError("a port above 65535")
    family = AF_INET if version == "4" else AF_INET6
    try:
        source, destination = (socket.inet_ntop(family, socket.inet_pton(family, host)) for host in hosts)
    except OSError:
        raise HeaderError(f"an address that is not IPv{version}") from None
    return Header(family, (source, ports[0]), (destination, ports[1])), len(line)


def _parse_v2(data: bytes) -> tuple[Header, int] | None:
    if len(data) < _FIXED.size:
        return None
    _, version_command, kind, length = _FIXED.unpack_from(data)
    version, command = divmod(version_command, 16)
    if version != 2 or command > 1:
        raise HeaderError(f"unknown version {version} or command {command}")
    family, transport = divmod(kind, 16)
    if command and (family >= len(_FAMILIES) or transport > 2):  # a LOCAL one's are ignored
        raise HeaderError(f"unknown family {family} or transport {transport}")
    size = _FIXED.size + length
    if size > LARGEST:
        raise HeaderError(f"a header of {size} bytes, more than {LARGEST}")
    if len(data) < size:
        return None
    if not (command and family and transport):
        return Header(), size
    header, end = _addresses(data[:size], _FAMILIES[family])
    tlvs = tuple(_tlvs(data[:size], end))
    return Header(header.family, header.source, header.destination, tlvs, datagram=transport == 2), size


def _addresses(data: bytes, family: int) -> tuple[Header, int]:
    """The addresses of a whole header, and where they end."""
    start = _FIXED.size
    size = _IP_SIZES.get(family, _PATH)
    middle, end = start + size, start + 2 * size
    whole = end if family == AF_UNIX else end + _PORTS.size
    if whole > len(data):
        raise HeaderError("a header that ends within its addresses")
    source, destination = data[start:middle], data[middle:end]
    if family == AF_UNIX:
        return Header(family, (_path(source), 0), (_path(destination), 0)), end
    ports = _PORTS.unpack_from(data, end)
    hosts = socket.inet_ntop(family, source), socket.inet_ntop(family, destination)
    return Header(family, (hosts[0], ports[0]), (hosts[1], ports[1])), whole


def _tlvs(data: bytes, at: int) -> list[tuple[int, bytes]]:
    """The TLVs of a whole header from a place on; the checksum among them is verified."""
    found = []
    while at < len(data):
        if at + _TLV.size > len(data):
            raise HeaderError("a header that ends within a TLV")
        kind, length = _TLV.unpack_from(data, at)
        at += _TLV.size
        value = data[at : at + length]
        if len(value) < length:
            raise HeaderError("a header that ends within a TLV")
        if kind == CRC32C:
            if length != 4:
                raise HeaderError(f"a checksum of {length} bytes")
            if crc32c(data[:at] + bytes(4) + data[at + 4 :]) != int.from_bytes(value):
                raise HeaderError("a wrong checksum")
        else:
            found.append((kind, value))
        at += length
    return found


def build_v1(header: Header) -> bytes:
    """Version 1: one line of text [2.1]. What it cannot tell (UNIX sockets, UDP) is UNKNOWN."""
    if header.family not in _IP_SIZES or header.datagram:
        return b"PROXY UNKNOWN\r\n"
    (host, port), (to_host, to_port) = header.source, header.destination
    return f"PROXY TCP{4 if header.family == AF_INET else 6} {host} {to_host} {port} {to_port}\r\n".encode("ascii")


def build_tcp4(source: Address, destination: Address) -> bytes:
    """What `build_v2` makes of most connections, TCP over IPv4 without TLVs, in a third of the time."""
    host, port = source
    to_host, to_port = destination
    return _TCP4 + socket.inet_aton(host) + socket.inet_aton(to_host) + _PORTS.pack(port, to_port)


def build_v2(header: Header, *, checksum: bool = False) -> bytes:
    """Version 2: binary [2.2]. A header without addresses is LOCAL, and has no TLVs.

    Args:
        checksum: whether a CRC32C TLV ends it.

    Raises:
        ValueError: a value or the whole is too large.
    """
    family = header.family
    if family == AF_UNSPEC:
        return _FIXED.pack(SIGNATURE, 0x20, 0, 0)
    (host, port), (to_host, to_port) = header.source, header.destination
    if family == AF_UNIX:
        block = os.fsencode(host).ljust(_PATH, b"\0") + os.fsencode(to_host).ljust(_PATH, b"\0")
        if len(block) != 2 * _PATH:
            raise ValueError(f"a path of more than {_PATH} bytes")
    else:
        block = socket.inet_pton(family, host) + socket.inet_pton(family, to_host) + _PORTS.pack(port, to_port)
    block += b"".join(_tlv(kind, value) for kind, value in header.tlvs)
    if checksum:
        block += _TLV.pack(CRC32C, 4) + bytes(4)
    if _FIXED.size + len(block) > LARGEST:
        raise ValueError(f"a header of more than {LARGEST} bytes")
    kind = _FAMILIES.index(family) << 4 | (2 if header.datagram else 1)
    whole = _FIXED.pack(SIGNATURE, 0x21, kind, len(block)) + block
    return whole[:-4] + crc32c(whole).to_bytes(4) if checksum else whole


def ssl_information(*, version: str, cipher: str, common_name: str, certified: bool, resumed: bool) -> bytes:
    """The value of the TLV of type SSL, of a client that speaks TLS [2.2.6].

    Args:
        version: as OpenSSL names it, for instance "TLSv1.3".
        cipher: likewise.
        common_name: of the client's certificate; "" = it has none.
        certified: whether the client has shown a certificate, and it is valid.
        resumed: whether it did so earlier, in a session that goes on in this connection.
    """
    client = OVER_SSL
    if certified:
        client |= CERTIFIED if resumed else CERTIFIED | CERTIFIED_NOW
    told = (SSL_VERSION, version), (SSL_COMMON_NAME, common_name), (SSL_CIPHER, cipher)
    return _SSL.pack(client, not certified) + b"".join(_tlv(kind, text.encode()) for kind, text in told if text)


def _tlv(kind: int, value: bytes) -> bytes:
    return _TLV.pack(kind, len(value)) + value


def crc32c(data: bytes) -> int:
    """The checksum of RFC 4960, Appendix B (Castagnoli)."""
    table, crc = _crc_table(), 0xFFFFFFFF
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    return crc ^ 0xFFFFFFFF


@cache
def _crc_table() -> tuple[int, ...]:
    def entry(crc: int) -> int:
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
        return crc

    return tuple(map(entry, range(256)))


def _path(padded: bytes) -> str:
    return os.fsdecode(padded.rstrip(b"\0"))
