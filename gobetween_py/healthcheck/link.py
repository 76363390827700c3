"""One connection of a check: TCP, TLS, UDP or a UNIX socket, without blocking and with next to nothing around it.

Measured: a TCP connect and close costs 36 µs of CPU this way, 54 by loop.sock_connect, and more by streams.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Self, TypeVar

from gobetween_py.healthcheck.contract import CheckFailedError, NoVerdictError, Target

Result = TypeVar("Result")

OURS = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""Errors that tell of this machine, not of the backend: out of fds or memory."""
NO_PORT = {socket.SOCK_STREAM: errno.EADDRNOTAVAIL, socket.SOCK_DGRAM: errno.EAGAIN}
"""What connect(2) says when all local ports are taken; EAGAIN of a UNIX socket is its full backlog."""


class Link:
    """`with Link(target) as link:` makes and closes a socket; every wait in between may be cancelled.

    All methods raise CheckFailedError for what the backend does, and NoVerdictError for what lies with this machine.

    Args:
        kind: socket.SOCK_STREAM or SOCK_DGRAM.
    """

    def __init__(self, target: Target, kind: socket.SocketKind = socket.SOCK_STREAM) -> None:
        self._target = target
        self._datagrams = kind == socket.SOCK_DGRAM
        self._no_port = NO_PORT.get(kind)
        self._loop = asyncio.get_running_loop()
        try:
            self._socket = socket.socket(target.family, kind | socket.SOCK_NONBLOCK)
        except OSError as error:
            raise NoVerdictError(f"no socket: {_words(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    async def connect(self) -> None:
        """Connect, from the target's source, and send its header; UDP only takes the address, and hears of a refusal
        when it reads.
        """
        if self._target.source is not None:
            try:
                self._target.source.take(self._socket, self._target.family)
            except OSError as error:
                raise NoVerdictError(_words(error)) from error
        failure = self._socket.connect_ex(self._target.sockaddr)
        if failure == errno.EINPROGRESS:
            await self._writable()
            failure = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if failure == self._no_port:
            raise NoVerdictError(f"no port left: {os.strerror(failure)}")
        if failure in OURS:
            raise NoVerdictError(f"cannot connect: {os.strerror(failure)}")
        if failure:
            raise CheckFailedError(f"cannot connect: {os.strerror(failure)}")
        if self._target.header and not self._datagrams:
            await self._send(self._target.header)

    async def start_tls(self, context: ssl.SSLContext, server_name: str) -> None:
        """Speak TLS from here on.

        Args:
            server_name: asked for by SNI, and looked for in the certificate; "" = neither.
        """
        try:
            secured = context.wrap_socket(
                self._socket, server_hostname=server_name or None, do_handshake_on_connect=False
            )
            self._socket = secured
            await self._done(secured.do_handshake, self._readable)
        except ssl.SSLCertVerificationError as error:
            raise CheckFailedError(f"TLS handshake: {error.verify_message}") from error
        except (OSError, ValueError) as error:  # ValueError: a server name that cannot be one
            raise CheckFailedError(f"TLS handshake: {_words(error)}") from error

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        await self._send(self._target.header + data if self._datagrams else data)

    async def _send(self, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                sent = await self._done(partial(self._socket.send, rest), self._writable)
            except OSError as error:
                raise CheckFailedError(f"cannot send: {_words(error)}") from error
            rest = rest[sent:]

    async def receive(self, limit: int) -> bytes:
        """Some bytes, at most `limit`; b"" at the end of the stream. The rest of a longer datagram is lost."""
        try:
            data = await self._done(partial(self._socket.recv, limit), self._readable)
        except OSError as error:
            raise CheckFailedError(f"cannot receive: {_words(error)}") from error
        await asyncio.sleep(0)  # a backend that sends faster than it is read would hold up everybody, for ever
        return data

    async def _done(self, step: Callable[[], Result], unblocked: Callable[[], Awaitable[None]]) -> Result:
        """The result of a step, once the socket lets it be done; TLS may have to read in order to write."""
        wait = unblocked
        while True:
            try:
                return step()
            except ssl.SSLWantReadError:
                wait = self._readable
            except ssl.SSLWantWriteError:
                wait = self._writable
            except BlockingIOError:
                wait = unblocked
            await wait()

    async def _readable(self) -> None:
        await _called(self._loop.add_reader, self._loop.remove_reader, self._socket.fileno())

    async def _writable(self) -> None:
        await _called(self._loop.add_writer, self._loop.remove_writer, self._socket.fileno())


async def _called(add: Callable[..., object], remove: Callable[[int], object], fd: int) -> None:
    """Until the event loop calls."""
    ready = asyncio.get_running_loop().create_future()
    add(fd, _set, ready)
    try:
        await ready
    finally:
        remove(fd)


def _set(ready: asyncio.Future[None]) -> None:
    if not ready.done():
        ready.set_result(None)


def _words(error: Exception) -> str:
    """What went wrong, in a few words."""
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).replace("_", " ").lower()
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__
