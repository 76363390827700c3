"""The front of a server that listens on stream sockets: makes connections of the clients that its acceptors accept."""

from __future__ import annotations

import socket

from gobetween_py.proxy.acceptor import PAUSE, Acceptor
from gobetween_py.proxy.anywhere import FAMILIES, is_anywhere
from gobetween_py.proxy.connection import Connection
from gobetween_py.proxy.front import GRACE, Front
from gobetween_py.proxy.secured import SecuredConnection
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.staged import StagedConnection

HANDSHAKE = 0.2
"""Seconds that clients who have begun to connect get to end it, before the socket is closed."""


class Listener(Front[Acceptor]):
    """Accepts on bound, listening stream sockets.

    Attributes:
        local: the address and port that all clients connect to; None where they may be several.
    """

    def _open(self, sock: socket.socket) -> Acceptor:
        self.local = None if self._entrances else _one_address(sock)
        return Acceptor(self, sock)

    def configure(self, settings: Settings) -> None:
        super().configure(settings)
        stages = settings.stages
        if stages and (stages.termination or stages.origination):
            self._make: type[Connection] = SecuredConnection
        else:
            self._make = StagedConnection if stages else Connection

    def _leave(self, sock: socket.socket, entrance: Acceptor) -> None:
        self.reactor.loop.call_later(GRACE, entrance.bar)
        self.reactor.loop.call_later(GRACE + HANDSHAKE, self._close, sock, entrance)

    # told by acceptors

    def accepted(self, fd: int, family: int, host: str, port: int) -> None:
        """A client has connected: serve it or turn it away. Only called between two batches of events."""
        if not self.let_in(host, port):
            socket.close(fd)
            return
        connection = self._make(self, fd, family, host, port)
        self.begun(connection)
        connection.begin()

    def not_accepted(self, error: OSError) -> None:
        """A client was gone before it could be accepted, or the like."""
        self.log_rarely("accept", f"accept failed: {error.strerror}")

    def out_of_resources(self, error: OSError) -> None:
        """Stop accepting for a moment: what is pending stays in the backlog, what is open goes on."""
        self.log_rarely("resources", f"{error.strerror}: not accepting for {PAUSE:g} s")
        for acceptor in self._entrances.values():
            acceptor.pause()


def _one_address(sock: socket.socket) -> tuple[str, int] | None:
    if sock.family not in FAMILIES or is_anywhere(sock):
        return None
    host, port = sock.getsockname()[:2]
    return host, port
