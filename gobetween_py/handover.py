"""Listening sockets for servers that start or move: those that other servers give up, or new ones."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable

from gobetween_py.bind import BindError, Transport, listen_on
from gobetween_py.config import Bind
from gobetween_py.config import Server as ServerConfig
from gobetween_py.proxy.anywhere import includes
from gobetween_py.server import Server


class Handover:
    """Finds the sockets, and has their owners let go of them when everything else is ready.

    Life: construct -> take and open, in this order -> complete; or undo.

    Args:
        given_up: servers, with each bind that they give up and their socket there.

    Attributes:
        sockets: for the new binds of servers, by their names.
        within: further sockets for a server's new bind: other servers had them, for an address within it, and the
            kernel gives them that address's clients for as long as they are open.
    """

    def __init__(self, given_up: Iterable[tuple[Server, Bind, socket.socket]]) -> None:
        self._free = {(server.config.transport, bind): (server, sock) for server, bind, sock in given_up}
        self._givers: list[tuple[Server, Bind]] = []
        self._opened: list[Bind] = []
        self.sockets: dict[str, socket.socket] = {}
        self.within: list[tuple[str, Bind, socket.socket]] = []

    def take(self, name: str, config: ServerConfig) -> bool:
        """Take the socket over that is given up there, with the clients that wait in it; False if there is none."""
        if (config.transport, config.bind) not in self._free:
            return False
        self.sockets[name] = self._duplicate(config.transport, config.bind)
        return True

    def open(self, name: str, config: ServerConfig, *, moving: Server | None) -> None:
        """Open a socket, beside those that are in the way until they close. Raises BindError.

        Args:
            moving: the server, where it runs already; it sees to its own sockets itself.
        """
        in_the_way = [sock for _, sock in self._free.values()]
        try:
            opened = listen_on(config.bind, transport=config.transport, instead_of=in_the_way)
        except BindError as error:
            raise BindError(f"servers.{name}.bind: {error}") from error
        self.sockets[name] = opened
        self._opened.append(config.bind)
        for (transport, bind), (giver, sock) in tuple(self._free.items()):
            if transport == config.transport and giver is not moving and includes(opened, sock):
                self.within.append((name, bind, self._duplicate(transport, bind)))

    def complete(self) -> None:
        """The sockets are their new owners' from now on."""
        for giver, bind in self._givers:
            giver.hand_over(bind)

    def undo(self) -> None:
        """Close what was found."""
        for sock in (*self.sockets.values(), *(sock for _, _, sock in self.within)):
            sock.close()
        for bind in self._opened:
            if bind.path:
                with contextlib.suppress(OSError):
                    os.unlink(bind.path)

    def _duplicate(self, transport: Transport, bind: Bind) -> socket.socket:
        """The giver may close its own socket any moment."""
        giver, sock = self._free.pop((transport, bind))
        self._givers.append((giver, bind))
        return sock.dup()
