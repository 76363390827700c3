"""Fire-and-forget: the datagrams of all clients to one backend go through one socket, and nobody waits for answers."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

from balancer import TOTAL, TX, Backend
from gobetween_py.proxy.udp.upstream import connected
from gobetween_py.proxy.wheel import Wheel

if TYPE_CHECKING:
    from gobetween_py.proxy.udp.listener import UdpListener

IDLE = Wheel.ticks(10)
"""Ticks without a datagram after which the socket is closed: the backend may be gone."""

ERRORS_ONLY = 0
"""What epoll always reports. Answers are left to lie in the socket, which has little room for them."""


class OneWay:
    """The way to one backend, from construction until it lies idle.

    Args:
        backend: acquired; given back by `send`.

    Raises:
        OSError: from the constructor.
    """

    __slots__ = ("active", "backend", "closed", "listener", "number", "sockaddr", "source", "upstream")

    def __init__(self, listener: UdpListener, backend: Backend) -> None:
        self.source = listener.source
        self.upstream = connected(backend, self.source)
        self.upstream.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)  # the kernel makes it the least there is
        self.listener = listener
        self.backend = backend
        self.sockaddr = backend.sockaddr
        self.active = now = listener.wheel.now
        self.closed = False
        self.number = self.upstream.fileno()
        listener.reactor.add_level(self.number, self.ready, ERRORS_ONLY)
        listener.wheel.add(self, now + IDLE)

    def send(self, data: memoryview, header: bytes) -> bool:
        """Pass a datagram on, with a header before it, and give the backend back; False when it has refused earlier
        ones.
        """
        listener, row = self.listener, self.backend.row
        try:
            self.upstream.send(header + data if header else data)
        except OSError as error:
            return not listener.not_sent(self.backend, self.sockaddr, error)
        else:
            self.active = listener.wheel.now
            listener.values[listener.row + TOTAL] += 1
            listener.values[row + TOTAL] += 1
            listener.values[row + TX] += len(data)
            return True
        finally:
            listener.release(self.backend)

    def ready(self, _events: int) -> None:
        """The kernel tells that the backend refuses."""
        error = self.upstream.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error and self.backend.discovered:  # a gone one has no counters any more
            self.listener.not_sent(self.backend, self.sockaddr, OSError(error, os.strerror(error)))

    def expire(self, now: int) -> None:
        """The timer wheel reached this socket's slot."""
        if not self.closed:
            if now >= self.active + IDLE:
                self.close()
            else:
                self.listener.wheel.add(self, self.active + IDLE)

    def close(self) -> None:
        """Close it, if it is not closed."""
        if not self.closed:
            self.closed = True
            del self.listener.reactor.handlers[self.number]
            self.upstream.close()
            self.listener.left(self)
