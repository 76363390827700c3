"""Bound sockets from binds; what can go wrong with one is told in a line, with the remedy."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterable, Iterator
from typing import Literal

from gobetween_py.config import Bind

BACKLOG = 65_535
"""Asked of listen(2); the kernel cuts it to net.core.somaxconn."""


KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}


class BindError(Exception):
    """A socket could not be bound. The message names the address and the remedy."""


Transport = Literal["tcp", "udp"]


def listen_on(bind: Bind, *, transport: Transport = "tcp", instead_of: Iterable[socket.socket] = ()) -> socket.socket:
    """Return a listening stream socket, or a bound one for datagrams.

    Args:
        instead_of: sockets that are about to be closed. If one of them is what is in the way, as `:80` is in that of
            `127.0.0.1:80`, both listen until it is closed; clients get to the one with the more precise address.

    Raises:
        BindError: with the remedy.
    """
    if bind.path:
        return listen_unix(bind.path)
    try:
        return listen(bind.host, bind.port, transport=transport)
    except BindError:
        rivals = [sock for sock in instead_of if sock.type == KINDS[transport] and _port(sock) == bind.port]
        if not rivals:
            raise
        with _sharing(rivals):
            return listen(bind.host, bind.port, transport=transport, sharing=True)


def listen(host: str, port: int, *, transport: Transport = "tcp", sharing: bool = False) -> socket.socket:
    """Return a listening TCP socket, or a bound UDP socket.

    Args:
        host: a name or an address; "" is all addresses, of both families where the machine has IPv6.
        port: 0 to 65535; 0 = any free one.
        sharing: let it be bound beside sockets that share their port now.

    Raises:
        BindError: with the remedy.
    """
    shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    kind = KINDS[transport]
    try:
        if not host:
            return _listen_anywhere(port, kind, sharing=sharing)
        family, _, _, _, address = socket.getaddrinfo(
            host, port, type=kind, flags=socket.AI_PASSIVE | socket.AI_NUMERICSERV
        )[0]
        return _listen(family, kind, address, only_v6=True, sharing=sharing)
    except socket.gaierror as error:
        raise BindError(f"cannot listen on {shown}: the name {host!r} has no address ({error.strerror})") from error
    except OSError as error:
        raise BindError(f"cannot listen on {shown}: {_remedy(error, host, port, transport)}") from error


def listen_unix(path: str) -> socket.socket:
    """Return a listening UNIX stream socket; one left behind by a process that is gone is replaced.

    Raises:
        BindError: something lives there already, or the path cannot be made.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        _remove_stale(path)
        sock.bind(path)
        sock.listen(BACKLOG)
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            why = "it is in use: stop the program that listens there, or choose another path"
        elif error.errno == errno.EEXIST:
            why = f"{error.strerror}: choose another path, or remove it"
        else:
            why = f"{error.strerror}: make the directory, with write permission for this user"
        raise BindError(f"cannot listen on unix:{path}: {why}") from error
    return sock


@contextlib.contextmanager
def _sharing(socks: Iterable[socket.socket]) -> Iterator[None]:
    """Let another socket of this user be bound to the ports of these, for this moment only."""
    for sock in socks:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        yield
    finally:
        for sock in socks:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)


def _port(sock: socket.socket) -> int | None:
    port: int | None = None if sock.family == socket.AF_UNIX else sock.getsockname()[1]
    return port


def _listen_anywhere(port: int, kind: socket.SocketKind, *, sharing: bool) -> socket.socket:
    try:
        return _listen(socket.AF_INET6, kind, ("::", port), only_v6=False, sharing=sharing)
    except OSError as error:
        if error.errno not in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL):
            raise
        anywhere = "0.0.0.0"  # noqa: S104  # what ":port" means
        return _listen(socket.AF_INET, kind, (anywhere, port), only_v6=False, sharing=sharing)


def _listen(
    family: socket.AddressFamily,
    kind: socket.SocketKind,
    address: tuple[object, ...],
    *,
    only_v6: bool,
    sharing: bool,
) -> socket.socket:
    sock = socket.socket(family, kind | socket.SOCK_CLOEXEC)
    try:
        if kind == socket.SOCK_STREAM:  # two UDP sockets could have one address with it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only_v6)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, sharing)
        sock.bind(address)
        if kind == socket.SOCK_STREAM:
            sock.listen(BACKLOG)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
    except OSError:
        sock.close()
        raise
    return sock


def _remedy(error: OSError, host: str, port: int, transport: Transport) -> str:
    if error.errno == errno.EADDRINUSE:
        show = "ss -ltnp" if transport == "tcp" else "ss -lunp"
        return f"the port is in use: stop the program that has it ({show} 'sport = :{port}' shows it), or take another"
    if error.errno == errno.EACCES and port < 1024:
        return (
            "ports below 1024 are privileged: run as root, or with CAP_NET_BIND_SERVICE "
            "(AmbientCapabilities= in a systemd unit), or take a port from 1024 up"
        )
    if error.errno == errno.EADDRNOTAVAIL:
        return f"no interface of this machine has the address {host}: take one that `ip address` shows, or :{port}"
    return error.strerror or str(error)


def _remove_stale(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.stat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "something that is no socket is there", path)
        with socket.socket(socket.AF_UNIX) as probe:
            try:
                probe.connect(path)
            except ConnectionRefusedError:
                os.unlink(path)
