"""UDP sockets to backends, connected: so they are told of ICMP refusals, and get datagrams of their backend only."""

from __future__ import annotations

import socket

from balancer import Backend
from gobetween_py.proxy.connection import AF_UNIX, CSocket
from gobetween_py.proxy.source import Source

DATAGRAM = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


def connected(backend: Backend, source: Source | None = None, host: str = "", port: int = 0) -> CSocket:
    """Return a non-blocking socket connected to the backend.

    Args:
        source: what address it is to have; None = as the kernel chooses.
        host, port: of the client, where there is one.

    Raises:
        SourceError: the address cannot be had.
        OSError: there is no fd or port left, or no way to the backend.
    """
    upstream = CSocket(backend.family, DATAGRAM)
    try:
        if source is not None:
            source.take(upstream, backend.family, host, port)
        if backend.family == AF_UNIX:
            upstream.bind("")  # a name made up by the kernel (unix(7)), without which nobody could answer
        upstream.connect(backend.sockaddr)  # type: ignore[arg-type]  # only resolved backends are picked
    except OSError:
        upstream.close()
        raise
    return upstream
