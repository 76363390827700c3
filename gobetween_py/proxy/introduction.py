"""The PROXY header that introduces a client to its backend."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

from gobetween_py.proxy import proxy_protocol
from gobetween_py.proxy.client_hello import ClientHello
from gobetween_py.proxy.proxy_protocol import Header, Tlvs

if TYPE_CHECKING:
    from gobetween_py.proxy.staged import StagedConnection

_INSTANCE = os.urandom(8).hex()
_numbers = itertools.count(1)


def introduction(connection: StagedConnection, version: str) -> bytes:
    """Tells of the client, in version "1" or "2": of the one that its own header names, where there is one."""
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
    tlvs = _tlvs(asked, connection.header or Header(), connection.hello or ClientHello()) if asked else ()
    told = Header(header.family, header.source, header.destination, tlvs)
    return proxy_protocol.build_v2(told, checksum="crc32c" in asked)


def _tlvs(asked: frozenset[str], received: Header, hello: ClientHello) -> Tlvs:
    """Those that are asked for and known: from the client's own header, else from its hello."""
    found = []
    for name, kind in proxy_protocol.TOLD.items():
        if name in asked:
            value = received.value(kind)
            if value is None:
                value = _own_value(name, hello)
            if value:
                found.append((kind, value))
    return tuple(found)


def _own_value(name: str, hello: ClientHello) -> bytes:
    """What we know ourselves of a TLV; b"" where that is nothing."""
    if name == "unique_id":  # this process, and a number in it
        return f"{_INSTANCE}-{next(_numbers):x}".encode()
    if name == "authority":
        return hello.name.encode()
    # The one protocol that is offered is the one that will be spoken; of several only the backend will know.
    return hello.protocols[0].encode("latin-1") if len(hello.protocols) == 1 else b""
