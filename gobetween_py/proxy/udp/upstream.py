"""UDP sockets to backends, connected: so they are told of ICMP refusals, and get datagrams of their backend only."""

from __future__ import annotations

import errno
import socket

from balancer import Backend
from gobetween_py.proxy.connection import AF_UNIX, CSocket

DATAGRAM = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
AF_INET, AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)

TRANSPARENT = {AF_INET: (socket.IPPROTO_IP, 19), AF_INET6: (socket.IPPROTO_IPV6, 75)}
"""IP_TRANSPARENT (linux/in.h) and IPV6_TRANSPARENT (linux/in6.h), with their levels."""

MAPPED = "::ffff:"
"""What the kernel puts before the address of an IPv4 client of a dual-stack socket."""


class SourceError(OSError):
    """The client's address cannot be taken as the source."""


def connected(backend: Backend, source: tuple[str, int] | None = None) -> CSocket:
    """Return a non-blocking socket connected to the backend.

    Args:
        source: take this host and port, a client's, as the socket's own (needs CAP_NET_ADMIN).

    Raises:
        SourceError: the source cannot be taken.
        OSError: there is no fd or port left, or no way to the backend.
    """
    upstream = CSocket(backend.family, DATAGRAM)
    try:
        if source is not None:
            _take(upstream, backend.family, *source)
        elif backend.family == AF_UNIX:
            upstream.bind("")  # a name made up by the kernel (unix(7)), without which nobody could answer
        upstream.connect(backend.sockaddr)  # type: ignore[arg-type]  # only resolved backends are picked
    except OSError:
        upstream.close()
        raise
    return upstream


def _take(upstream: CSocket, family: int, host: str, port: int) -> None:
    if family == AF_INET and host.startswith(MAPPED):
        host = host[len(MAPPED) :]
    try:
        if family not in TRANSPARENT or (":" in host) != (family == AF_INET6):
            raise OSError(errno.EAFNOSUPPORT, "the backend's address is of another family")
        upstream.setsockopt(*TRANSPARENT[family], 1)
        upstream.setsockopt(
            socket.SOL_SOCKET, socket.SO_REUSEADDR, 1
        )  # a session that has ended may linger for answers
        upstream.bind((host, port))
    except OSError as error:
        raise SourceError(error.errno, f"{host}:{port} cannot be the source: {error.strerror}") from error
