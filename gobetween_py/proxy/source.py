"""The address that backends see: one of this machine's that the kernel chooses or the config names, or the client's."""

from __future__ import annotations

import errno
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

AF_INET, AF_INET6 = int(socket.AF_INET), int(socket.AF_INET6)

TRANSPARENT = {AF_INET: (socket.IPPROTO_IP, 19), AF_INET6: (socket.IPPROTO_IPV6, 75)}
"""IP_TRANSPARENT (linux/in.h) and IPV6_TRANSPARENT (linux/in6.h), with their levels."""

BIND_ADDRESS_NO_PORT = (socket.IPPROTO_IP, 24)
"""IP_BIND_ADDRESS_NO_PORT (linux/in.h), of IPv6 too: bind() chooses no port, and connect() one that is free for its
destination. So there are as many connections as ports to each backend, instead of to all of them together."""

MAPPED = "::ffff:"
"""What the kernel puts before the address of an IPv4 client of a dual-stack socket."""


class SourceError(OSError):
    """A socket cannot have the address that it is to have."""


class Unbound(Protocol):
    """A socket, of any Python class."""

    def setsockopt(self, level: int, option: int, value: int, /) -> None: ...
    def bind(self, address: tuple[str, int], /) -> None: ...


@dataclass(frozen=True, slots=True)
class Source:
    """What address the sockets to the backends of a server have.

    Args:
        transparent: the client's, where it has one; needs CAP_NET_ADMIN or CAP_NET_RAW.
        own: of this machine, by family of addresses; the kernel chooses for a family that is not there.
    """

    transparent: bool = False
    own: Mapping[int, str] = field(default_factory=dict)

    def take(self, sock: Unbound, family: int, host: str = "", port: int = 0) -> None:
        """Give a socket that is not connected yet its address.

        Args:
            family: the socket's.
            host: the client's address; "" where it has none.
            port: the client's, for a transparent socket that takes the port too; 0 = any that is free.

        Raises:
            SourceError: it cannot be had.
        """
        try:
            if self.transparent and host:
                host = host.removeprefix(MAPPED) if family == AF_INET else host
                _pose(sock, family, host, port)
            elif family in self.own:
                host, port = self.own[family], 0
                sock.setsockopt(*BIND_ADDRESS_NO_PORT, 1)
                sock.bind((host, 0))
        except OSError as error:
            shown = f"{host}:{port}" if port else host
            raise SourceError(error.errno, f"{shown} cannot be the source: {error.strerror}") from error


def _pose(sock: Unbound, family: int, host: str, port: int) -> None:
    """Have the address of somebody else. Raises OSError."""
    if family not in TRANSPARENT or (":" in host) != (family == AF_INET6):
        raise OSError(errno.EAFNOSUPPORT, "the backend's address is of another family")
    sock.setsockopt(*TRANSPARENT[family], 1)
    if port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a session that has ended may linger for answers
    else:
        sock.setsockopt(*BIND_ADDRESS_NO_PORT, 1)
    sock.bind((host, port))


def may_pose() -> bool:
    """Whether this process may have other machines' addresses."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        try:
            sock.setsockopt(*TRANSPARENT[AF_INET], 1)
        except PermissionError:
            return False
    return True
