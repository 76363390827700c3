"""The PROXY header that introduces a client to its backend."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from typing import TYPE_CHECKING

from gobetween_py.proxy import proxy_protocol
from gobetween_py.proxy.client_hello import ClientHello
from gobetween_py.proxy.proxy_protocol import Header, Tlvs

if TYPE_CHECKING:
    from gobetween_py.proxy.staged import StagedConnection
    from gobetween_py.proxy.tls import Tls

_INSTANCE = os.urandom(8).hex()
_numbers = itertools.count(1)


def introduction(connection: StagedConnection, version: str) -> bytes:
    """Tells of a connection's client, in version "1" or "2": of the one that its own header names, if there is one."""
    header, asked = connection.header, connection.stages.tlvs
    if header is None or not header.family:
        client = connection.client
        family, local = client.family, connection.listener.local or client.getsockname()
        if version == "2" and family == proxy_protocol.AF_INET and not asked:
            return proxy_protocol.build_tcp4((connection.host, connection.port), local)
        if family == proxy_protocol.AF_UNIX:
            header = Header(family, ("", 0), (os.fsdecode(client.getsockname()), 0))
        else:
            header = proxy_protocol.between(family, (connection.host, connection.port), (local[0], local[1]))
    if version == "1":
        return proxy_protocol.build_v1(header)
    received, hello = connection.header or Header(), connection.hello or ClientHello()
    tlvs = _tlvs(asked, received, hello, connection.client_tls) if asked else ()
    told = Header(header.family, header.source, header.destination, tlvs)
    return proxy_protocol.build_v2(told, checksum="crc32c" in asked)


def introduction_of_datagrams(header: Header, asked: frozenset[str]) -> bytes:
    """Tells of the client of datagrams, in version 2.

    Args:
        header: its own one, or one made of its addresses.
        asked: the TLVs.
    """
    tlvs = _tlvs(asked, header, ClientHello(), None)
    return proxy_protocol.build_v2(replace(header, tlvs=tlvs, datagram=True), checksum="crc32c" in asked)


def _tlvs(asked: frozenset[str], received: Header, hello: ClientHello, tls: Tls | None) -> Tlvs:
    """Those that are asked for and known: from the client's own header, else what we have seen ourselves."""
    found = []
    for name, kind in proxy_protocol.TOLD.items():
        if name in asked:
            value = received.value(kind)
            if value is None:
                value = _own_value(name, hello, tls)
            if value:
                found.append((kind, value))
    return tuple(found)


def _own_value(name: str, hello: ClientHello, tls: Tls | None) -> bytes:
    """What we know ourselves of a TLV; b"" where that is nothing."""
    if name == "unique_id":  # this process, and a number in it
        return f"{_INSTANCE}-{next(_numbers):x}".encode()
    if name == "authority":
        return hello.name.encode()
    if name == "ssl":
        return _secured_by(tls) if tls is not None else b""
    # The one protocol that is offered is the one that will be spoken; of several only the backend will know.
    return hello.protocols[0].encode("latin-1") if len(hello.protocols) == 1 else b""


def _secured_by(tls: Tls) -> bytes:
    """What the client's handshake with us has come to."""
    certificate, cipher = tls.getpeercert(), tls.cipher()
    names = [value for rdn in (certificate or {}).get("subject", ()) for key, value in rdn if key == "commonName"]
    return proxy_protocol.ssl_information(
        version=tls.version() or "",
        cipher=cipher[0] if cipher else "",
        common_name=names[0] if names else "",
        certified=bool(certificate),  # and verified, or there would be no connection
        resumed=tls.session_reused,
    )
