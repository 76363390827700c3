"""Bodies that are huge, slow, half sent, nested, or nonsense: refused in time, and nothing is changed."""

import asyncio
import gzip
import json

import pytest

from gobetween_py.api import body
from gobetween_py.api.body import LARGEST, parse_json
from gobetween_py.api.refusal import MOST, Refusal
from tests.gobetween_py.running import API, PATIENCE, Running, server

POST = "POST /servers/new HTTP/1.1\r\nHost: a\r\n"


async def send(running: Running, *pieces: bytes, pause: float = 0.0) -> bytes:
    """What the API answers to a request in pieces; b"" when it closes the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await asyncio.sleep(pause)
        async with asyncio.timeout(PATIENCE):
            return await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return b""
    finally:
        writer.transport.abort()


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"{",
        b"{}{}",
        b"nothing",
        b"\xff\xfe{}",
        b'{"bind": NaN}',
        b'{"bind": 1e999, "x": -Infinity}',
        b'{"bind": ":1", "bind": ":2"}',
        b'{"bind": "a\nb"}',
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"9" * 10_000,
    ],
    ids=lambda data: repr(data[:20]),
)
async def test_what_is_no_json_is_400_with_the_place(data: bytes) -> None:
    async with Running(API) as running:
        reply = await running.call("POST", "/servers/new", data)
        assert reply.status == 400, reply
        assert "body" in reply.body["error"]
        assert await running.get("/servers") == {}


@pytest.mark.parametrize(
    "data",
    [
        [],
        "text",
        7,
        True,
        {},
        {"discovery": []},
        {"bind": {"a": 1}, "discovery": "static"},
        {"bind": ":1", "discovery": {"kind": ["static"]}},
        {"bind": ":1", "discovery": {"kind": "static", "static_list": {"a": 1}}},
        {"bind": "\ud800", "discovery": {"kind": "static", "static_list": []}},
        {"bind": ":1", "discovery": {"kind": "static", "static_list": ["x" * 100_000]}},
        {"bind": ":1", "sni": 10**400, "discovery": {"kind": "static", "static_list": []}},
        json.loads('{"a":' * 500 + "1" + "}" * 500),
        json.loads('{"bind":' * 900 + "1" + "}" * 900),
        json.loads('{"discovery":' * 900 + "1" + "}" * 900),
        {"bind": ":1", "backends": json.loads("[" * 900 + "]" * 900)},
    ],
    ids=lambda data: repr(data)[:40],
)
async def test_json_of_the_wrong_shape_is_422_with_everything_that_is_wrong(data: object) -> None:
    async with Running(API) as running:
        reply = await running.call("POST", "/servers/new", data)
        assert reply.status == 422, reply
        assert reply.body["problems"]
        assert len(str(reply.body)) < 5000
        assert await running.get("/servers") == {}


async def test_a_body_that_says_it_is_huge_is_413_before_it_is_sent() -> None:
    async with Running(API) as running:
        answer = await send(running, f"{POST}Content-Length: {1 << 40}\r\n\r\n".encode())
        assert answer.startswith(b"HTTP/1.1 413")
        assert b"Connection: close" in answer


async def test_a_body_that_turns_out_huge_is_413() -> None:
    async with Running(API) as running:
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        answer = await send(running, f"{POST}Transfer-Encoding: chunked\r\n\r\n".encode(), *[chunk] * 20)
        assert answer.startswith(b"HTTP/1.1 413")


async def test_a_body_of_the_largest_size_is_read() -> None:
    async with Running(API) as running:
        reply = await running.call("POST", "/servers/new", b'{"bind": ":1"' + b" " * (LARGEST - 14) + b"}")
        assert reply.status == 422


async def test_a_compressed_body_is_415() -> None:
    async with Running(API) as running:
        headers = {"Content-Encoding": "gzip"}
        reply = await running.call("POST", "/servers/new", gzip.compress(b" " * 10_000_000), headers=headers)
        assert reply.status == 415


async def test_a_slow_body_is_408_and_others_are_answered_meanwhile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "PATIENCE", 0.3)
    async with Running(API) as running:
        head = f"{POST}Content-Length: 100\r\n\r\n".encode()
        slow = asyncio.create_task(send(running, head, *[b" "] * 20, pause=0.05))
        assert await running.get("/ping") == "OK"
        assert (await slow).startswith(b"HTTP/1.1 408")
        assert await running.get("/servers") == {}


@pytest.mark.parametrize(("path", "missing"), [("/servers/new", 2), ("/servers/web/backends", 1)])
async def test_others_are_answered_while_a_body_with_very_many_errors_is_checked(path: str, missing: int) -> None:
    """Its count is told, and the first errors."""
    async with Running(API + server("web")) as running:
        asked = asyncio.create_task(running.call("POST", path, {f"key{number}": 1 for number in range(50_000)}))
        answered = 0
        while not asked.done():
            assert await running.get("/ping") == "OK"
            answered += 1
        reply = await asked
        assert answered > 5
        assert reply.status == 422
        assert reply.body["error"].startswith(f"{50_000 + missing} things are wrong")
        assert len(reply.body["problems"]) == MOST


async def test_a_key_that_is_there_twice_among_very_many_is_found_at_once() -> None:
    """To compare each with each would take a minute, in which nothing is relayed."""
    keys = [f'"{number}": 1' for number in range(50_000)]
    async with Running(API) as running:
        reply = await running.call("POST", "/servers/new", f"{{{', '.join([*keys, keys[-1]])}}}".encode())
        assert (reply.status, reply.body["error"]) == (400, "the body is no JSON: the key '49999' is there twice")


async def test_a_half_sent_body_changes_nothing() -> None:
    async with Running(API) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        writer.write(f'{POST}Content-Length: 1000\r\n\r\n{{"bind"'.encode())
        writer.write_eof()
        async with asyncio.timeout(PATIENCE):
            answer = await reader.read()
        assert not answer or answer.startswith(b"HTTP/1.1 4")
        writer.close()
        assert await running.get("/servers") == {}


@pytest.mark.parametrize(
    "request_",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /servers/%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: " + b"a" * 100_000 + b"\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\n" + b"X: a\r\n" * 1000 + b"\r\n",
        b"POST /servers/a HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n{}",
        b"POST /servers/a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
        b"POST /servers/a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    ],
    ids=lambda data: repr(data[:40]),
)
async def test_what_is_no_http_gets_an_error_and_harms_nobody(request_: bytes) -> None:
    async with Running(API) as running:
        answer = await send(running, request_)
        assert not answer or answer.split()[1][:1] == b"4", answer
        assert await running.get("/ping") == "OK"
        assert await running.get("/servers") == {}


def test_json_is_read_with_nulls_and_any_text() -> None:
    assert parse_json(b'{"a": null, "b": ["\xc3\xbc", 1.5, true]}') == {"a": None, "b": ["ü", 1.5, True]}


def test_nulls_of_a_config_are_no_keys() -> None:
    assert parse_json(b'{"a": null, "b": {"c": null, "d": 0}}', nulls=False) == {"b": {"d": 0}}


def test_a_key_that_is_there_twice_is_named() -> None:
    with pytest.raises(Refusal, match="the key 'a' is there twice"):
        parse_json(b'{"b": 1, "a": 1, "a": 2}')
