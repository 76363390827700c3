"""One name server: lost, refused, truncated, forged and senseless replies."""

import asyncio
import os
import random
import socket
from collections.abc import Iterator
from typing import Any

import dns.rcode
import pytest

from discovery.contract import DiscoveryError
from discovery.dnsclient import nameserver
from discovery.dnsclient.nameserver import NameServer
from discovery.dnsclient.reply import PAYLOAD, Question, Reply, Type
from tests.discovery.dnsclient.responder import Answer, Query, Responder, responding
from tests.services.ports import free_port

A = Question("a.example.", Type.A)
RECORD = "a.example. 60 A 10.0.0.1"


def good(query: Query) -> bytes:
    return query.reply(RECORD)


async def ask(responder: Responder, *, tcp: bool = False) -> list[Any]:
    """The addresses that one question to the responder brings."""
    server = NameServer("127.0.0.1", responder.port, tcp=tcp)
    try:
        async with asyncio.timeout(10):
            return data(await server.ask(A))
    finally:
        await server.close()


def data(reply: Reply) -> list[Any]:
    return [record.data for record in reply.answer]


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_question_and_its_reply(tcp: bool) -> None:
    async with responding(good) as responder:
        assert await ask(responder, tcp=tcp) == ["10.0.0.1"]
        assert [(query.tcp, query.message.payload) for query in responder.queries] == [(tcp, PAYLOAD)]


async def test_a_truncated_reply_is_asked_for_over_tcp() -> None:
    async with responding(lambda query: query.reply(RECORD, truncated=not query.tcp)) as responder:
        assert await ask(responder) == ["10.0.0.1"]
        assert [query.tcp for query in responder.queries] == [False, True]


async def test_a_reply_truncated_over_tcp_is_an_error() -> None:
    async with responding(lambda query: query.reply(truncated=True)) as responder:
        with pytest.raises(DiscoveryError, match=f"{responder.address} has no answer to A a.example.: it is truncated"):
            await ask(responder)


def forged(query: Query) -> Iterator[bytes]:
    """Each is wrong in another way: too short, id, question, direction, cut off."""
    reply = query.reply("a.example. 60 A 10.6.6.6")
    yield b""
    yield os.urandom(3)
    yield bytes([reply[0] ^ 1]) + reply[1:]
    yield reply.replace(b"\x01a\x07", b"\x01b\x07", 1)
    yield reply[:2] + bytes([reply[2] & 0x7F]) + reply[3:]
    yield reply[:-8]
    yield reply + bytes(PAYLOAD)
    yield query.reply(RECORD)


async def test_forged_and_malformed_datagrams_are_passed_over() -> None:
    async with responding(forged) as responder:
        assert await ask(responder) == ["10.0.0.1"]
        assert len(responder.queries) == 1


async def test_random_bytes_cost_nothing_but_time() -> None:
    """5,000 datagrams, half of them with the right id, then the reply: read, or sent again and read."""
    seeded = random.Random(5)

    def noise(query: Query) -> Iterator[bytes]:
        head = query.reply()[:2]
        for number in range(5000):
            yield (head if number % 2 else b"") + seeded.randbytes(seeded.randrange(80))
        yield good(query)

    async with responding(noise) as responder:
        answer: Answer = good
        asking = asyncio.ensure_future(ask(responder))
        while not responder.queries:
            await asyncio.sleep(0)
        responder.answer = answer
        assert await asking == ["10.0.0.1"]


async def test_what_others_send_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """A right reply from a wrong address: the question stays open until the server itself answers."""
    monkeypatch.setattr(nameserver, "FIRST_RESEND", 0.05)

    def spoofed(query: Query) -> list[bytes]:
        if len(responder.queries) > 1:
            return [good(query)]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.sendto(query.reply("a.example. 60 A 10.6.6.6"), query.client)
        return []

    async with responding(spoofed) as responder:
        assert await ask(responder) == ["10.0.0.1"]


async def test_a_lost_query_is_sent_again_and_a_late_reply_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nameserver, "FIRST_RESEND", 0.02)

    def late(query: Query) -> list[bytes]:
        first, latest = responder.queries[0], query
        assert first.message.id == latest.message.id
        return [good(first)] if len(responder.queries) == 3 else []

    async with responding(late) as responder:
        assert await ask(responder) == ["10.0.0.1"]
        assert len(responder.queries) == 3


@pytest.mark.parametrize("tcp", [False, True])
async def test_a_port_without_a_server_is_an_error_at_once(tcp: bool) -> None:
    port = free_port()
    with pytest.raises(DiscoveryError, match=rf"127.0.0.1:{port} has no answer to A a.example.: .*(refused|failed)"):
        await NameServer("127.0.0.1", port, tcp=tcp).ask(A)


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED, dns.rcode.NOTIMP])
async def test_an_error_code_names_server_and_question(rcode: dns.rcode.Rcode) -> None:
    async with responding(lambda query: query.reply(rcode=rcode)) as responder:
        with pytest.raises(DiscoveryError, match=f"^{responder.address} answers {rcode.name} to A a.example.$"):
            await ask(responder)


async def test_no_such_name_is_an_answer() -> None:
    async with responding(lambda query: query.reply(rcode=dns.rcode.NXDOMAIN)) as responder:
        assert (await NameServer("127.0.0.1", responder.port).ask(A)).rcode == dns.rcode.NXDOMAIN


async def test_a_server_that_does_not_know_edns_is_asked_without() -> None:
    def old(query: Query) -> bytes:
        return query.reply(rcode=dns.rcode.FORMERR) if query.message.edns >= 0 else good(query)

    async with responding(old) as responder:
        server = NameServer("127.0.0.1", responder.port)
        assert [data(await server.ask(A)) for _ in range(2)] == [["10.0.0.1"]] * 2
        assert [query.message.edns for query in responder.queries] == [0, -1, -1]


async def test_a_tcp_connection_serves_the_next_questions() -> None:
    async with responding(good) as responder:
        server = NameServer("127.0.0.1", responder.port, tcp=True)
        for _ in range(3):
            await server.ask(A)
        assert responder.connections == 1
        responder.end_connections()
        assert data(await server.ask(A)) == ["10.0.0.1"]
        assert responder.connections == 2
        await server.close()


@pytest.mark.parametrize(
    ("messages", "problem"),
    [
        (lambda query: [bytes(12)], "is no reply to the query"),
        (lambda query: [query.reply()[:-3]], "is malformed"),
        (lambda query: [b""], "is no reply to the query"),
    ],
)
async def test_nonsense_over_tcp_is_an_error(messages: Answer, problem: str) -> None:
    async with responding(messages) as responder:
        with pytest.raises(DiscoveryError, match=f"{responder.address} has no answer to A a.example.: {problem}"):
            await ask(responder, tcp=True)


async def test_a_tcp_connection_that_ends_without_a_reply_is_an_error() -> None:
    async def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x00\x40half")
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DiscoveryError, match=r"it closed the connection|reset"):
            await NameServer("127.0.0.1", port, tcp=True).ask(A)
