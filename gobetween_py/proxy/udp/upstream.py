"""UDP sockets to backends, connected: so they are told of ICMP refusals, and get datagrams of their backend only."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from balancer import Backend
from gobetween_py.proxy.sockets import AF_UNIX, CSocket
from gobetween_py.proxy.source import Source

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

DATAGRAM = int(socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)


class IntroducingSocket(CSocket):
    """Sends a header at the start of each datagram, and counts only what comes after it as sent."""

    __slots__ = ("header",)

    def __init__(self, family: int, kind: int, header: bytes) -> None:
        super().__init__(family, kind)
        self.header = header

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        return self.sendmsg((self.header, data), (), flags) - len(self.header)


def connected(
    backend: Backend, source: Source | None = None, host: str = "", port: int = 0, *, header: bytes = b""
) -> CSocket:
    """Return a non-blocking socket connected to the backend.

    Args:
        header: goes before each datagram.
        source: what address it is to have; None = as the kernel chooses.
        host, port: of the client, where there is one.

    Raises:
        SourceError: the address cannot be had.
        OSError: there is no fd or port left, or no way to the backend.
    """
    if header:
        upstream: CSocket = IntroducingSocket(backend.family, DATAGRAM, header)
    else:
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
