"""TLS on a socket that a test drives by itself, step by step: what is sent when, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
PATIENCE = 10.0


class TruncatedError(Exception):
    """The stream ended without close_notify."""


class TlsPeer:
    """One end of a TLS connection over a non-blocking socket.

    Args:
        server_name: the side is the client's, and asks for it; None = the server's.
        step: bytes written at once; 0 = all.
        pause: seconds between two of them.
    """

    def __init__(
        self,
        sock: socket.socket,
        context: ssl.SSLContext,
        server_name: str | None = None,
        *,
        session: ssl.SSLSession | None = None,
        step: int = 0,
        pause: float = 0.0,
    ) -> None:
        self.socket = sock
        self._step, self._pause = step, pause
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._in, self._out, server_side=server_name is None, server_hostname=server_name, session=session
        )
        self._ended = False

    async def handshake(self) -> None:
        """Raises ssl.SSLError, and TruncatedError when the other side goes away."""
        await self._drive(self.tls.do_handshake)

    async def send(self, data: bytes) -> None:
        """Send all of it."""
        while data:
            data = data[await self._drive(lambda part=data: self.tls.write(part)) :]

    async def receive(self, size: int = 65_536) -> bytes:
        """What is there, b"" at close_notify. Raises TruncatedError at an end without it, and ConnectionResetError."""
        try:
            return await self._drive(lambda: self.tls.read(size))
        except ssl.SSLZeroReturnError:
            return b""

    async def receive_all(self) -> bytes:
        """Everything until close_notify."""
        parts = []
        while part := await self.receive():
            parts.append(part)
        return b"".join(parts)

    async def notify(self) -> None:
        """Send close_notify; what the other side sends can be read on."""
        with contextlib.suppress(ssl.SSLError):  # SSLWantReadError is one: the other side's is not there yet
            self.tls.unwrap()
        await self._flush()

    async def close(self) -> None:
        """End in order."""
        await self.notify()
        self.socket.close()

    async def _drive(self, call: Callable[[], Result]) -> Result:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            while True:
                try:
                    result = call()
                except ssl.SSLWantReadError:
                    await self._flush()
                    if self._ended:
                        raise TruncatedError from None
                    data = await loop.sock_recv(self.socket, 65_536)
                    if data:
                        self._in.write(data)
                    else:
                        self._ended = True
                except ssl.SSLError:
                    await self._flush()
                    raise
                else:
                    await self._flush()
                    return result

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        data = self._out.read()
        step = self._step or len(data) or 1
        for at in range(0, len(data), step):
            await loop.sock_sendall(self.socket, data[at : at + step])
            if self._pause:
                await asyncio.sleep(self._pause)
