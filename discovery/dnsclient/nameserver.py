"""One name server: a question to it, and its reply, over UDP and TCP."""

import asyncio
from collections.abc import Callable

import dns.rcode

from discovery.contract import DiscoveryError
from discovery.dnsclient.reply import PAYLOAD, BadReply, Question, Reply, may_answer, read_reply

FIRST_RESEND, LONGEST_RESEND = 1.0, 8.0
"""Seconds after which a query is sent again over UDP: the first, doubled each time up to the longest."""
BACKLOG = 64
"""Datagrams that wait for being read; what comes on top is a flood and is dropped."""
MAX_IDLE = 4
"""TCP connections that are kept for the next questions."""

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class NameServer:
    """A DNS server at an address.

    Args:
        host: IPv4 or IPv6 address, without brackets.
        tcp: never ask over UDP.
    """

    def __init__(self, host: str, port: int, *, tcp: bool = False) -> None:
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._host, self._port = host, port
        self._only_tcp = tcp
        self._edns = True
        self._idle: list[_Stream] = []

    async def ask(self, question: Question) -> Reply:
        """Its reply, whose rcode is NOERROR or NXDOMAIN. A truncated UDP reply is asked for again over TCP.

        Has no timeout: asks again and again until a reply comes or the caller cancels it. Malformed, spoofed and
        unrelated datagrams are passed over. Raises DiscoveryError, naming the server and the question, when the server
        refuses the connection or reports an error.
        """
        try:
            reply = await self._exchange(question)
            if reply.rcode == dns.rcode.FORMERR and self._edns:
                self._edns = False  # RFC 6891 section 6.2.2: a server from before EDNS
                reply = await self._exchange(question)
        except (OSError, EOFError, BadReply) as error:
            reason = "it closed the connection" if isinstance(error, EOFError) else f"{error}"
            raise DiscoveryError(f"{self.address} has no answer to {question}: {reason}") from error
        if reply.rcode not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            raise DiscoveryError(f"{self.address} answers {reply.rcode.name} to {question}")
        return reply

    async def close(self) -> None:
        """Closes what TCP connections there are."""
        while self._idle:
            self._idle.pop()[1].close()

    async def _exchange(self, question: Question) -> Reply:
        query = question.wire(edns=self._edns)
        if not self._only_tcp:
            reply = await self._over_udp(query, question)
            if not reply.truncated:
                return reply
        reply = await self._over_tcp(query, question)
        if reply.truncated:
            raise BadReply("it is truncated over TCP")
        return reply

    async def _over_udp(self, query: bytes, question: Question) -> Reply:
        # A socket of its own for each query, so that its port is as random as the id; connected, so that the kernel
        # drops what others send and tells of a port without a server.
        transport, datagrams = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: _Datagrams(lambda wire: may_answer(wire, query)), remote_addr=(self._host, self._port)
        )
        patience = FIRST_RESEND
        try:
            transport.sendto(query)
            while True:
                try:
                    async with asyncio.timeout(patience):
                        wire = await datagrams.next()
                    return await read_reply(wire, query, question)
                except TimeoutError:
                    transport.sendto(query)
                    patience = min(2 * patience, LONGEST_RESEND)
                except BadReply:
                    continue
        finally:
            transport.close()

    async def _over_tcp(self, query: bytes, question: Question) -> Reply:
        while stream := self._idle_stream():
            try:
                return await self._over_stream(stream, query, question)
            except (OSError, EOFError):
                continue  # the server had enough of it; a fresh one tells whether it is there
        return await self._over_stream(await asyncio.open_connection(self._host, self._port), query, question)

    def _idle_stream(self) -> _Stream | None:
        while self._idle:
            reader, writer = self._idle.pop()
            if not reader.at_eof() and reader.exception() is None:
                return reader, writer
            writer.close()
        return None

    async def _over_stream(self, stream: _Stream, query: bytes, question: Question) -> Reply:
        """One question at a time on a connection, which is kept when the reply was good."""
        reader, writer = stream
        try:
            writer.write(len(query).to_bytes(2) + query)
            wire = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            reply = await read_reply(wire, query, question)
        except BaseException:
            writer.close()
            raise
        if len(self._idle) < MAX_IDLE:
            self._idle.append(stream)
        else:
            writer.close()
        return reply


class _Datagrams(asyncio.DatagramProtocol):
    """What arrives on a connected UDP socket, as far as `wanted` says yes."""

    def __init__(self, wanted: Callable[[bytes], bool]) -> None:
        self._wanted = wanted
        self._queue: asyncio.Queue[bytes | Exception] = asyncio.Queue(BACKLOG)

    async def next(self) -> bytes:
        """The next datagram; raises the OSError that the network reported instead."""
        arrived = await self._queue.get()
        if isinstance(arrived, Exception):
            raise arrived
        return arrived

    def datagram_received(self, data: bytes, _address: object) -> None:
        if len(data) <= PAYLOAD and self._wanted(data):
            self._put(data)

    def error_received(self, error: Exception) -> None:
        self._put(error)

    def _put(self, arrived: bytes | Exception) -> None:
        if not self._queue.full():
            self._queue.put_nowait(arrived)
