"""A name server in the test's own event loop, over UDP and TCP, which answers as the test says."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype

from tests.services.ports import free_port


@dataclass
class Query:
    """A query as it came."""

    message: dns.message.Message
    tcp: bool
    client: tuple[str, int]

    @property
    def name(self) -> str:
        return self.message.question[0].name.to_text()

    @property
    def type(self) -> str:
        return dns.rdatatype.to_text(self.message.question[0].rdtype)

    def reply(
        self,
        *answer: str,
        additional: Iterable[str] = (),
        authority: Iterable[str] = (),
        rcode: dns.rcode.Rcode = dns.rcode.NOERROR,
        truncated: bool = False,
    ) -> bytes:
        """The bytes of a reply; records are "name ttl type data", in that order also on the wire."""
        reply = dns.message.make_response(self.message, recursion_available=True)
        reply.set_rcode(rcode)
        reply.flags |= dns.flags.TC if truncated else 0
        sections = (reply.answer, answer), (reply.authority, authority), (reply.additional, additional)
        for section, records in sections:
            for record in records:
                name, ttl, rdtype, data = record.split(maxsplit=3)
                kind = dns.rdatatype.from_text(rdtype)
                found = reply.find_rrset(section, dns.name.from_text(name), dns.rdataclass.IN, kind, create=True)
                found.add(dns.rdata.from_text(dns.rdataclass.IN, kind, data), int(ttl))
        return reply.to_wire(max_size=65535)


Answer = Callable[[Query], bytes | Iterable[bytes]]


class Responder(asyncio.DatagramProtocol):
    """What it was asked, and what it answers: the messages that `answer` gives, one after the other."""

    def __init__(self, answer: Answer) -> None:
        self.port = free_port()
        self.address = f"127.0.0.1:{self.port}"
        self.answer = answer
        self.queries: list[Query] = []
        self.connections = 0
        self._open: set[asyncio.StreamWriter] = set()
        self.transport: asyncio.DatagramTransport | None = None

    @property
    def asked(self) -> list[str]:
        """The questions, as "TYPE name"."""
        return [f"{query.type} {query.name}" for query in self.queries]

    def send(self, data: bytes, client: tuple[str, int]) -> None:
        """A datagram from the server's own address."""
        assert self.transport is not None
        self.transport.sendto(data, client)

    def end_connections(self) -> None:
        """Closes the TCP connections there are."""
        for writer in self._open:
            writer.close()

    def datagram_received(self, data: bytes, client: tuple[str, int]) -> None:
        for message in self._answers(data, False, client):
            self.send(message, client)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._open.add(writer)
        with contextlib.suppress(OSError, EOFError):
            while True:
                data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
                for message in self._answers(data, True, writer.get_extra_info("peername")):
                    writer.write(len(message).to_bytes(2) + message)
        self._open.discard(writer)
        writer.close()

    def _answers(self, data: bytes, tcp: bool, client: tuple[str, int]) -> Iterable[bytes]:
        query = Query(dns.message.from_wire(data), tcp, client)
        self.queries.append(query)
        answer = self.answer(query)
        return [answer] if isinstance(answer, bytes) else list(answer)


@contextlib.asynccontextmanager
async def responding(answer: Answer) -> AsyncIterator[Responder]:
    """Serves on a free loopback port."""
    responder = Responder(answer)
    responder.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: responder, local_addr=("127.0.0.1", responder.port)
    )
    server = await asyncio.start_server(responder.serve, "127.0.0.1", responder.port)
    try:
        yield responder
    finally:
        responder.transport.close()
        server.close()
        responder.end_connections()


def zone(*records: str) -> Answer:
    """An answer for each question from these records ("name ttl type data"); a name without any record is NXDOMAIN."""

    def answer(query: Query) -> bytes:
        of_name = [record for record in records if record.split()[0].lower() == query.name.lower()]
        found = [record for record in of_name if record.split()[2] in {query.type, "CNAME"}]
        return query.reply(*found, rcode=dns.rcode.NOERROR if of_name else dns.rcode.NXDOMAIN)

    return answer
