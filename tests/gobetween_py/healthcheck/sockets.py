"""Backends of the checks' unit tests: sockets on loopback that a script drives."""

import asyncio
import contextlib
import errno
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

from gobetween_py.healthcheck.contract import Target

HOST = "127.0.0.1"
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def target(port: int, host: str = HOST, sni: str = "") -> Target:
    return Target(host, port, socket.AF_INET, (HOST, port), sni)


@asynccontextmanager
async def serving(script: Script) -> AsyncIterator[Target]:
    """A TCP server that runs the script for each connection, and then closes it."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.CancelledError):
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, HOST, 0)
    async with server:
        yield target(server.sockets[0].getsockname()[1])


def answering(*pieces: bytes, ends: bool = True) -> Script:
    """Reads something, then writes the pieces one after the other, then closes or waits for the peer to do so."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(65536)
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.005)
        if not ends:
            await reader.read()

    return script


async def resetting(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Reads something and sends RST."""
    await reader.read(65536)
    sock = writer.get_extra_info("socket")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def refusing() -> Target:
    """A port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((HOST, 0))
        return target(sock.getsockname()[1])


@contextmanager
def silent() -> Iterator[Target]:
    """A port whose backlog is full: a connect gets no answer."""
    with contextlib.ExitStack() as stack:
        listening = stack.enter_context(socket.socket())
        listening.bind((HOST, 0))
        listening.listen(0)
        for _ in range(2):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            assert client.connect_ex(listening.getsockname()) == errno.EINPROGRESS
        yield target(listening.getsockname()[1])


@asynccontextmanager
async def datagrams(*answers: bytes) -> AsyncIterator[Target]:
    """A UDP server that sends these datagrams for each one that it gets."""

    class Answer(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, address: Any) -> None:
            for answer in answers:
                self.transport.sendto(answer, address)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Answer, local_addr=(HOST, 0))
    try:
        yield target(transport.get_extra_info("sockname")[1])
    finally:
        transport.close()
