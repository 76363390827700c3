"""A DNS reply, from bytes to the records that discovery needs (RFC 1035 section 4, RFC 2782, RFC 3596, RFC 6891).

The bytes are anybody's: whatever they hold, reading them ends in a Reply or in a BadReply.
"""

import socket
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import dns.exception
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.wire

from discovery.slices import sliced

PAYLOAD = 4096
"""Bytes of a UDP reply that we announce by EDNS."""

_RESPONSE, _OPCODE, _TRUNCATED, _RCODE = 0x8000, 0x7800, 0x0200, 0x000F  # of the header's flags
_IN = 1
_MAY_LACK_QUESTION = {dns.rcode.FORMERR, dns.rcode.SERVFAIL, dns.rcode.NOTIMP, dns.rcode.REFUSED}


class BadReply(Exception):  # noqa: N818  # it is the reply that is in error
    """Malformed, or not the reply to what was asked."""


class Type(IntEnum):
    """The record types that are read; all others (RRSIG, NSEC, ...) are passed over."""

    A = dns.rdatatype.A
    CNAME = dns.rdatatype.CNAME
    SOA = dns.rdatatype.SOA
    AAAA = dns.rdatatype.AAAA
    SRV = dns.rdatatype.SRV
    OPT = dns.rdatatype.OPT


class Service(NamedTuple):
    """Data of an SRV record: each number 0 to 65535, the target as it was spelled, with its last dot."""

    priority: int
    weight: int
    port: int
    target: str


@dataclass(frozen=True, slots=True)
class Record:
    """One record."""

    name: str
    """Owner: lower case, with its last dot."""
    type: Type
    ttl: int
    """Seconds, 0 to 2**31 - 1."""
    data: str | Service | int
    """A, AAAA: the address. CNAME: the target, as `name`. SRV: a Service. SOA: seconds that a "no" may be kept."""


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: a name (lower case, with its last dot) and a type."""

    name: str
    type: Type

    def __str__(self) -> str:
        return f"{self.type.name} {self.name}"

    def wire(self, *, edns: bool = True) -> bytes:
        """The query, with a random id of its own, recursion desired."""
        query = dns.message.make_query(
            self.name,
            dns.rdatatype.RdataType(self.type),
            use_edns=0 if edns else False,
            payload=PAYLOAD if edns else None,
        )
        return query.to_wire()


@dataclass(slots=True)
class Reply:
    """A reply to our question. A truncated one is not read further than its header."""

    rcode: dns.rcode.Rcode = dns.rcode.NOERROR
    truncated: bool = False
    answer: list[Record] = field(default_factory=list)
    authority: list[Record] = field(default_factory=list)
    additional: list[Record] = field(default_factory=list)

    def follow(self, name: str, wanted: Type) -> tuple[str, list[Record], int | None]:
        """Where the CNAMEs of the answer lead from `name`: the last name, its records of the wanted type, and the least
        TTL on the way; with no record the least includes how long that "no" may be kept (RFC 2308), if it says so.
        """
        aliases = {record.name: record for record in self.answer if record.type is Type.CNAME}
        ttls = []
        while alias := aliases.pop(name, None):  # popped: a circle ends
            ttls.append(alias.ttl)
            name = str(alias.data)
        records = [record for record in self.answer if record.type is wanted and record.name == name]
        decisive = records or [record for record in self.authority if record.type is Type.SOA]
        ttls += [min(record.ttl, record.data) if isinstance(record.data, int) else record.ttl for record in decisive]
        return name, records, min(ttls, default=None)


def may_answer(wire: bytes, query: bytes) -> bool:
    """Whether the bytes look like a reply to this query: the cheap half of the check, for what a flood brings."""
    return len(wire) >= 12 and wire[:2] == query[:2] and bool(wire[2] & 0x80)


async def read_reply(wire: bytes, query: bytes, question: Question) -> Reply:
    """The reply in `wire` to `query`, which asked `question`. Gives way to the event loop.

    Raises BadReply.
    """
    if not may_answer(wire, query):
        raise BadReply("is no reply to the query")
    try:
        return await _Reader(wire).read(question)
    except dns.exception.DNSException as error:
        raise BadReply(f"is malformed: {error}") from error
    except ValueError as error:
        raise BadReply(f"is malformed: {error}") from error


class _Reader:
    def __init__(self, wire: bytes) -> None:
        self._parser = dns.wire.Parser(wire, 2)
        self._names: dict[int, str] = {}

    async def read(self, question: Question) -> Reply:
        flags, questions, *counts = self._parser.get_struct("!HHHHH")
        reply = Reply(dns.rcode.Rcode(flags & _RCODE), bool(flags & _TRUNCATED))
        if flags & _OPCODE or not flags & _RESPONSE:
            raise BadReply("is no reply to a query")
        if questions == 1:
            asked = (self._name().lower(), *self._parser.get_struct("!HH"))
            if asked != (question.name, question.type, _IN):
                raise BadReply("answers another question")
        elif questions or reply.rcode not in _MAY_LACK_QUESTION:
            raise BadReply(f"has {questions} questions")
        if not reply.truncated:
            for section, count in zip((reply.answer, reply.authority, reply.additional), counts, strict=True):
                async for _ in sliced(range(count)):
                    self._record(reply, section)
        return reply

    def _record(self, reply: Reply, section: list[Record]) -> None:
        parser = self._parser
        name = self._name().lower()
        rdtype, rdclass, ttl, length = parser.get_struct("!HHIH")
        with parser.restrict_to(length):
            if rdtype == Type.OPT and section is reply.additional:
                reply.rcode = dns.rcode.Rcode(reply.rcode & _RCODE | ttl >> 24 << 4)
                parser.get_remaining()
            elif rdclass != _IN or (data := self._data(rdtype)) is None:
                parser.get_remaining()
            else:
                # RFC 2181 section 8: a TTL with its highest bit set is 0.
                section.append(Record(name, Type(rdtype), ttl if ttl < 2**31 else 0, data))

    def _data(self, rdtype: int) -> str | Service | int | None:
        parser = self._parser
        if rdtype == Type.A:
            return socket.inet_ntop(socket.AF_INET, parser.get_bytes(4))
        if rdtype == Type.AAAA:
            return socket.inet_ntop(socket.AF_INET6, parser.get_bytes(16))
        if rdtype == Type.SRV:
            priority, weight, port = parser.get_struct("!HHH")
            return Service(priority, weight, port, self._name())
        if rdtype == Type.CNAME:
            return self._name().lower()
        if rdtype == Type.SOA:
            self._name(), self._name()
            *_, minimum = parser.get_struct("!IIIII")
            return int(minimum)
        return None

    def _name(self) -> str:
        """A name as text; one that is only a pointer to an earlier one, as most owners are, is read once."""
        parser = self._parser
        at = parser.current
        if parser.remaining() >= 2 and parser.wire[at] >= 0xC0:
            target = int.from_bytes(parser.wire[at : at + 2]) & 0x3FFF
            if (known := self._names.get(target)) is not None:
                parser.get_bytes(2)
                return known
            return self._names.setdefault(target, dns.name.from_wire_parser(parser).to_text())
        return self._names.setdefault(at, dns.name.from_wire_parser(parser).to_text())
