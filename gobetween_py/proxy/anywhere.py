"""Sockets that are bound to all addresses of the machine."""

from __future__ import annotations

import socket

ANYWHERE = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound to
FAMILIES = (socket.AF_INET, socket.AF_INET6)


def is_anywhere(sock: socket.socket) -> bool:
    """Whether it is bound to all addresses of its family."""
    return sock.family in FAMILIES and sock.getsockname()[0] in ANYWHERE


def includes(wider: socket.socket, sock: socket.socket) -> bool:
    """Whether a socket would get what is sent to another one, if that were not there."""
    if sock.family not in FAMILIES or wider.family not in FAMILIES:
        return False
    if wider.getsockname() == sock.getsockname():  # "localhost" and "127.0.0.1": the kernel gives clients to either
        return True
    if not is_anywhere(wider) or wider.getsockname()[1] != sock.getsockname()[1]:
        return False
    return wider.family == sock.family or (
        wider.family == socket.AF_INET6 and not wider.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY)
    )
