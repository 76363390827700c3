"""What a client of a site can hold, and for how long."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress

import pytest
from aiohttp import web

from gobetween_py import web as sites
from gobetween_py.config import Bind
from gobetween_py.web import Site, stream
from tests.gobetween_py.running import PATIENCE

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def endless() -> AsyncIterator[bytes]:
    while True:
        yield b"x" * 65_536


async def broken() -> AsyncIterator[bytes]:
    yield b"begun"
    raise ZeroDivisionError


def application() -> web.Application:
    app = web.Application()

    async def greet(request: web.Request) -> web.StreamResponse:
        return web.Response(text="hello")

    async def flood(request: web.Request) -> web.StreamResponse:
        return await stream(request, endless(), "text/plain")

    async def fail(request: web.Request) -> web.StreamResponse:
        return await stream(request, broken(), "text/plain")

    app.router.add_get("/", greet)
    app.router.add_get("/flood", flood)
    app.router.add_get("/fail", fail)
    return app


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    made = Site("test", application(), Bind("127.0.0.1", 0))
    await made.start()
    yield made
    await made.stop()


async def connect(site: Site, text: bytes = b"") -> Streams:
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
    writer.write(text)
    return reader, writer


async def whole(reader: asyncio.StreamReader) -> bytes:
    async with asyncio.timeout(PATIENCE):
        return await reader.read()


async def test_it_answers(site: Site) -> None:
    reader, writer = await connect(site, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    assert (await whole(reader)).endswith(b"hello")
    writer.close()


async def test_head_gets_no_body(site: Site) -> None:
    """Or it would be taken for the next answer of the connection."""
    reader, writer = await connect(site, b"HEAD /flood HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200 ")
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        answer = await reader.read()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.endswith(b"hello")
    writer.close()


@pytest.mark.parametrize("begun", [b"", b"GET / HT", b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "])
async def test_a_header_that_does_not_come_ends_the_connection(begun: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "IDLE", 0.2)
    made = Site("test", application(), Bind("127.0.0.1", 0))
    await made.start()
    reader, writer = await connect(made, begun)
    assert await whole(reader) == b""
    writer.close()
    await made.stop()


async def test_a_header_that_comes_byte_by_byte_ends_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "IDLE", 0.2)
    made = Site("test", application(), Bind("127.0.0.1", 0))
    await made.start()
    reader, writer = await connect(made)
    for byte in b"GET / HTTP/1.1\r\nHost: a\r\n":
        writer.write(bytes([byte]))
        await asyncio.sleep(0.05)
        if reader.at_eof():
            break
    assert await whole(reader) == b""
    writer.close()
    await made.stop()


async def test_a_second_header_on_a_kept_connection_has_to_come_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "IDLE", 0.2)
    made = Site("test", application(), Bind("127.0.0.1", 0))
    await made.start()
    reader, writer = await connect(made, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        await reader.readuntil(b"hello")
    writer.write(b"GET / HT")
    assert await whole(reader) == b""
    writer.close()
    await made.stop()


async def test_a_client_that_does_not_read_is_cut_off(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sites, "WRITE", 0.2)
    reader, writer = await connect(site, b"GET /flood HTTP/1.1\r\nHost: a\r\n\r\n")
    writer.transport.pause_reading()
    await asyncio.sleep(0.6)
    writer.transport.resume_reading()
    with suppress(ConnectionError):
        async with asyncio.timeout(PATIENCE):
            while await reader.read(1 << 20):  # an endless answer, if it is not cut off
                pass
    writer.close()


async def test_an_answer_that_breaks_off_does_not_look_whole(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    reader, writer = await connect(site, b"GET /fail HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    try:
        answer = await whole(reader)
    except ConnectionError:
        answer = b""
    assert not answer.endswith(b"0\r\n\r\n")
    assert "defect in GET /fail" in caplog.messages
    writer.close()


async def test_too_many_connections_are_closed_and_room_is_made_again(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sites, "CONNECTIONS", 3)
    async with AsyncExitStack() as stack:
        kept = []
        for _ in range(3):
            reader, writer = await connect(site, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            stack.callback(writer.close)
            async with asyncio.timeout(PATIENCE):
                await reader.readuntil(b"hello")
            kept.append(writer)
        reader, writer = await connect(site, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        stack.callback(writer.close)
        with suppress(ConnectionError):
            assert await whole(reader) == b""
        kept[0].close()
        async with asyncio.timeout(PATIENCE):
            while True:
                reader, writer = await connect(site, b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
                stack.callback(writer.close)
                try:
                    if (await whole(reader)).endswith(b"hello"):
                        break
                except ConnectionError:
                    await asyncio.sleep(0.01)


async def test_a_site_that_leaves_says_so_to_its_clients(site: Site) -> None:
    """Or the next request of a connection would find it closed, and nobody would know whether it was carried out."""
    reader, writer = await connect(site, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        assert b"Connection: close" not in await reader.readuntil(b"hello")
        site.leave()
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        answer = await reader.read()
    assert b"Connection: close\r\n" in answer
    assert answer.endswith(b"hello")
    writer.close()


async def test_stopping_ends_idle_connections_and_frees_the_port() -> None:
    made = Site("test", application(), Bind("127.0.0.1", 0))
    await made.start()
    port = made.port
    reader, writer = await connect(made)
    async with asyncio.timeout(PATIENCE):
        await made.stop()
    assert await whole(reader) == b""
    writer.close()
    again = Site("test", application(), Bind("127.0.0.1", port))
    await again.stop()
