"""Bytes to records: what a server may say, and what anybody may send."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable

import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.dnsclient.reply import BadReply, Question, Record, Reply, Service, Type, read_reply
from tests.discovery.dnsclient.responder import Query

SRV = Question("_http._tcp.example.", Type.SRV)
A = Question("a.example.", Type.A)
RRSIG = "_http._tcp.example. 60 RRSIG SRV 13 3 60 20300101000000 20200101000000 1 example. AAAA"


def asked(question: Question) -> tuple[bytes, Query]:
    """The query, and the same on the server's side."""
    query = question.wire()
    return query, Query(dns.message.from_wire(query), False, ("127.0.0.1", 1))


async def replied(question: Question, *answer: str, **sections: object) -> Reply:
    """What is read of a reply with these records."""
    query, at_server = asked(question)
    return await read_reply(at_server.reply(*answer, **sections), query, question)  # type: ignore[arg-type]


async def test_a_query_announces_4096_bytes_and_wants_recursion() -> None:
    query = dns.message.from_wire(SRV.wire())
    assert (query.edns, query.payload, bool(query.flags & dns.flags.RD)) == (0, 4096, True)
    assert dns.message.from_wire(SRV.wire(edns=False)).edns == -1


async def test_service_records_with_signature_and_addresses() -> None:
    """Signatures and EDNS are passed over; names are compared without regard to case, the target stays as spelled."""
    reply = await replied(
        SRV,
        "_HTTP._tcp.Example. 60 SRV 1 2 8080 Web1.example.",
        RRSIG,
        additional=["web1.example. 30 A 10.0.0.1", "web1.example. 30 AAAA 2001:db8::1"],
    )
    assert reply.answer == [Record(SRV.name, Type.SRV, 60, Service(1, 2, 8080, "Web1.example."))]
    assert reply.additional == [
        Record("web1.example.", Type.A, 30, "10.0.0.1"),
        Record("web1.example.", Type.AAAA, 30, "2001:db8::1"),
    ]
    assert reply.follow(SRV.name, Type.SRV) == (SRV.name, reply.answer, 60)


async def test_hundreds_of_records() -> None:
    lines = [f"{SRV.name} 60 SRV 1 {i} 8080 web{i}.example." for i in range(800)]
    reply = await replied(SRV, *lines)
    assert {record.data for record in reply.answer} == {Service(1, i, 8080, f"web{i}.example.") for i in range(800)}


async def test_aliases_are_followed_within_a_reply() -> None:
    reply = await replied(
        A, "c.example. 9 A 10.0.0.1", "a.example. 30 CNAME B.example.", "b.example. 20 CNAME c.example."
    )
    assert reply.follow(A.name, Type.A) == ("c.example.", [Record("c.example.", Type.A, 9, "10.0.0.1")], 9)


async def test_aliases_in_a_circle_end() -> None:
    reply = await replied(A, "a.example. 30 CNAME b.example.", "b.example. 20 CNAME a.example.")
    assert reply.follow(A.name, Type.A) == ("a.example.", [], 20)


@pytest.mark.parametrize(("soa_ttl", "minimum", "ttl"), [(50, 10, 10), (5, 10, 5)])
async def test_a_no_may_be_kept_as_long_as_the_zone_says(soa_ttl: int, minimum: int, ttl: int) -> None:
    soa = f"example. {soa_ttl} SOA ns.example. me.example. 1 3600 600 86400 {minimum}"
    reply = await replied(A, authority=[soa], rcode=dns.rcode.NXDOMAIN)
    assert reply.follow(A.name, Type.A) == (A.name, [], ttl)
    assert (await replied(A)).follow(A.name, Type.A) == (A.name, [], None)


async def test_a_ttl_with_its_highest_bit_is_none() -> None:
    query, at_server = asked(A)
    wire = bytearray(at_server.reply("a.example. 1 A 10.0.0.1"))
    at = wire.index(b"\x00\x00\x00\x01\x00\x04")
    wire[at] = 0x80
    assert [record.ttl for record in (await read_reply(bytes(wire), query, A)).answer] == [0]


async def test_records_of_another_class_are_passed_over() -> None:
    query, at_server = asked(A)
    before, internet, after = at_server.reply("a.example. 7 A 10.0.0.1").partition(b"\x00\x01\x00\x00\x00\x07")
    assert internet
    wire = before + b"\x00\x03" + internet[2:] + after
    assert (await read_reply(wire, query, A)).answer == []


async def test_an_error_code_above_15_comes_from_edns() -> None:
    assert (await replied(A, rcode=dns.rcode.BADVERS)).rcode == dns.rcode.BADVERS


async def test_a_truncated_reply_is_not_read_on() -> None:
    query, at_server = asked(A)
    wire = at_server.reply("a.example. 1 A 10.0.0.1", truncated=True)
    reply = await read_reply(wire[:-3], query, A)
    assert reply.truncated
    assert reply.answer == []


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.FORMERR, dns.rcode.NOTIMP])
async def test_an_error_needs_no_question(rcode: dns.rcode.Rcode) -> None:
    query = A.wire()
    assert (await read_reply(query[:2] + bytes([0x81, 0x80 | rcode]) + bytes(8), query, A)).rcode == rcode


async def test_what_is_no_reply_to_the_question_is_refused() -> None:
    query, at_server = asked(A)
    good = at_server.reply("a.example. 1 A 10.0.0.1")
    other_name, other_type = asked(Question("b.example.", Type.A))[1], asked(Question("a.example.", Type.AAAA))[1]
    refused = {
        "is no reply to the query": [
            b"",
            good[:11],
            bytes([good[0] ^ 1]) + good[1:],
            good[:2] + bytes([good[2] & 0x7F]) + good[3:],
        ],
        "is no reply to a query": [good[:2] + bytes([good[2] | 0x28]) + good[3:]],
        "answers another question": [query[:2] + other.reply()[2:] for other in (other_name, other_type)],
        "has 0 questions": [query[:2] + b"\x81\x80" + bytes(8)],
        "has 2 questions": [good[:5] + b"\x02" + good[6:]],
        "is malformed": [good[:-1], good[: len(query) - 12]],
    }
    for problem, wires in refused.items():
        for wire in wires:
            with pytest.raises(BadReply, match=problem):
                await read_reply(wire, query, A)


async def test_compression_that_points_forward_or_at_itself_is_refused() -> None:
    query, at_server = asked(A)
    good = at_server.reply("a.example. 1 A 10.0.0.1")
    at = good.index(b"\xc0\x0c", 12)
    for target in (at, at + 2, at + 12, 0x3FFF):
        with pytest.raises(BadReply, match="malformed"):
            await read_reply(good[:at] + (0xC000 | target).to_bytes(2) + good[at + 2 :], query, A)


async def test_the_largest_reply_leaves_the_event_loop_its_turns(capsys: pytest.CaptureFixture[str]) -> None:
    """64 KiB of records are read in slices; the longest is printed."""
    query, at_server = asked(SRV)
    wire = at_server.reply(*(f"{SRV.name} 60 SRV 1 {i} 8080 backend{i}.example." for i in range(1700)))
    reading = asyncio.ensure_future(read_reply(wire, query, SRV))
    turns, longest, last = 0, 0.0, time.thread_time()
    while not reading.done():
        await asyncio.sleep(0)
        turns, longest, last = turns + 1, max(longest, time.thread_time() - last), time.thread_time()
    assert len((await reading).answer) == 1700
    assert turns > 3
    with capsys.disabled():
        print(
            f"\n1,700 records, {len(wire)} bytes: {turns} turns for others, {longest * 1e3:.1f} ms of CPU between two"
        )


_LABEL = st.sampled_from(["a", "B", "web-1", "_http", "x" * 63])
_NAME = st.lists(_LABEL, min_size=1, max_size=3).map(lambda labels: ".".join([*labels, "example."]))
_TTL = st.integers(0, 2**31 - 1)
_ADDRESS = st.tuples(_NAME, _TTL, st.just("A"), st.ip_addresses(v=4).map(str)) | st.tuples(
    _NAME, _TTL, st.just("AAAA"), st.ip_addresses(v=6).map(str)
)
_U16 = st.integers(0, 65535)
_SERVICE = st.tuples(
    _NAME, _TTL, st.just("SRV"), st.tuples(_U16, _U16, _U16, _NAME).map(lambda data: " ".join(map(str, data)))
)
_ALIAS = st.tuples(_NAME, _TTL, st.just("CNAME"), _NAME)
_RECORDS = st.lists((_ADDRESS | _SERVICE | _ALIAS).map(lambda record: " ".join(map(str, record))), max_size=8)


@given(_RECORDS, _RECORDS)
def test_what_dnspython_reads_is_read_alike(answer: list[str], additional: list[str]) -> None:
    query, at_server = asked(SRV)
    wire = at_server.reply(*answer, additional=additional)
    assert records(run(read_reply(wire, query, SRV))) == expected(wire)


@given(_RECORDS, st.lists(st.tuples(st.integers(2, 600), st.integers(0, 255)), max_size=6), st.integers(0, 300))
def test_a_damaged_reply_is_a_reply_or_a_bad_one(answer: list[str], bytes_at: list[tuple[int, int]], cut: int) -> None:
    query, at_server = asked(SRV)
    wire = at_server.reply(*answer)
    damaged = bytearray(wire)
    for at, value in bytes_at:
        damaged[at % len(wire)] = value
    for hostile in (bytes(damaged), wire[: len(wire) - cut], wire[:12] + damaged[12:][::-1]):
        read_or_refuse(hostile, query)


@given(st.binary(max_size=600), st.booleans())
def test_noise_is_a_reply_or_a_bad_one(noise: bytes, with_question: bool) -> None:
    """Bytes behind a header, or behind header and question, that make them worth reading."""
    query = SRV.wire()
    counts = noise[:6].ljust(6, b"\x01")
    if with_question:
        start = query[:2] + b"\x80\x00\x00\x01" + counts + query[12 : 12 + len(SRV.name) + 1 + 4]
    else:
        start = query[:2] + b"\x80\x02\x00\x00" + counts
    read_or_refuse(start + noise[6:], query)


def read_or_refuse(wire: bytes, query: bytes) -> None:
    try:
        reply = run(read_reply(wire, query, SRV))
    except BadReply:
        return
    name, found, ttl = reply.follow(SRV.name, Type.SRV)
    assert name.endswith(".")
    assert all(isinstance(record.data, Service) for record in found)
    assert ttl is None or 0 <= ttl < 2**31


def run(reading: Awaitable[Reply]) -> Reply:
    """The result of a coroutine that only ever gives way."""
    steps = reading.__await__()
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]


def records(reply: Reply) -> Counter[str]:
    """Each record as text, without its TTL, which dnspython levels within a set."""
    found = Counter[str]()
    for record in reply.answer + reply.additional:
        data = " ".join(map(str, record.data)) if isinstance(record.data, Service) else record.data
        found[f"{record.name} {record.type.name} {data}".lower()] += 1
    return found


def expected(wire: bytes) -> Counter[str]:
    message = dns.message.from_wire(wire, one_rr_per_rrset=True)
    return Counter(
        f"{found.name} {dns.rdatatype.to_text(found.rdtype)} {found[0].to_text()}".lower()
        for found in message.answer + message.additional
    )
