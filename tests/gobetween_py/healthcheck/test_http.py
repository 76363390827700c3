"""http: asks, and judges the answer."""

import asyncio
import socket
from pathlib import Path

import pytest

from gobetween_py.healthcheck.contract import CheckFailedError, Target
from gobetween_py.healthcheck.http import Http, HttpOptions
from tests.gobetween_py.healthcheck.sockets import answering, refusing, resetting, serving, target

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def http(**keys: object) -> Http:
    return Http(HttpOptions.model_validate({"interval": "1s"} | {f"http_{key}": value for key, value in keys.items()}))


async def failure(check: Http, place: Target) -> str:
    with pytest.raises(CheckFailedError) as raised:
        await check.check(place)
    return str(raised.value)


async def request(check: Http, *, host: str = "127.0.0.1", sni: str = "") -> list[str]:
    """The lines that the check sends."""
    seen = bytearray()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.extend(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)

    async with serving(script) as place:
        assert await check.check(Target(host, place.port, place.family, place.sockaddr, sni)) == "status 200"
        return seen.decode().replace(str(place.port), "PORT").split("\r\n")[:-2]


async def test_it_asks_as_simply_as_can_be() -> None:
    assert await request(http()) == [
        "GET / HTTP/1.1",
        "Host: 127.0.0.1:PORT",
        "User-Agent: pygobetween",
        "Accept: */*",
        "Connection: close",
    ]


async def test_method_path_and_headers_are_as_configured() -> None:
    """A header of ours is left out where the config has it, however it is spelled."""
    lines = await request(http(method="OPTIONS", path="/a?b=c", headers={"X-Token": "t", "user-agent": "me"}))
    assert lines[0] == "OPTIONS /a?b=c HTTP/1.1"
    assert lines[2:] == ["Accept: */*", "Connection: close", "X-Token: t", "user-agent: me"]


async def test_a_post_without_a_body_says_so() -> None:
    """Else servers may answer 411 (RFC 9110, 8.6)."""
    assert "Content-Length: 0" in await request(http(method="POST"))
    lines = await request(http(method="POST", headers={"content-length": "00"}))
    assert [line for line in lines if line.lower().startswith("content-length")] == ["content-length: 00"]


@pytest.mark.parametrize(
    ("keys", "host", "sni", "expected"),
    [
        ({}, "web.example", "", "web.example:PORT"),
        ({}, "::1", "", "[::1]:PORT"),
        ({}, "web.example", "sni.example", "sni.example"),
        ({"host": "own.example"}, "web.example", "sni.example", "own.example"),
        ({}, "unix:/path", "", "localhost"),
    ],
)
async def test_the_host_that_is_asked_for(keys: dict[str, object], host: str, sni: str, expected: str) -> None:
    assert (await request(http(**keys), host=host, sni=sni))[1] == f"Host: {expected}"


async def test_a_host_among_the_headers_takes_the_place_of_ours() -> None:
    lines = await request(http(headers={"host": "own.example"}))
    assert [line for line in lines if line.lower().startswith("host:")] == ["host: own.example"]


@pytest.mark.parametrize(
    ("expected", "status", "good"),
    [
        (["200-399"], 200, True),
        (["200-399"], 399, True),
        (["200-399"], 404, False),
        ([204, "400-499"], 204, True),
        ([204, "400-499"], 404, True),
        ([204, "400-499"], 200, False),
        ([101], 101, True),
    ],
)
async def test_a_status_is_good_or_not(expected: list[object], status: int, good: bool) -> None:
    async with serving(answering(b"HTTP/1.1 %d Some\r\n\r\n" % status)) as place:
        check = http(expected_status=expected)
        if good:
            assert await check.check(place) == f"status {status}"
        else:
            assert await failure(check, place) == f"status {status}"


async def test_without_an_expected_body_none_is_waited_for() -> None:
    async with serving(answering(b"HTTP/1.1 200 OK\r\n", ends=False)) as place:
        assert await http().check(place) == "status 200"


@pytest.mark.parametrize(
    ("strategy", "text", "body", "good"),
    [
        ("contains", "al.ve", b"I am al.ve.", True),
        ("contains", "al.ve", b"I am alive.", False),
        ("regexp", "al.ve", b"I am alive.", True),
        ("regexp", "^alive$", b"alive", True),
        ("regexp", "^alive$", b"alive!", False),
        ("contains", "né", "né".encode(), True),
    ],
)
async def test_the_body_holds_what_is_expected(strategy: str, text: str, body: bytes, good: bool) -> None:
    """In pieces, as chunks, from a server that keeps the connection."""
    pieces = [b"%x\r\n%b\r\n" % (1, bytes([byte])) for byte in body]
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    script = answering(head, *pieces[:3], b"".join(pieces[3:]), b"0\r\n\r\n", ends=False)
    check = http(expected_body=text, body_strategy=strategy)
    async with serving(script) as place:
        if good:
            assert await check.check(place) == "status 200"
        else:
            assert await failure(check, place) == "status 200, but the body does not hold what is expected"


async def test_what_is_no_reply_is_a_failure() -> None:
    async with serving(answering(b"220 mail.example ESMTP\r\n")) as place:
        assert (await failure(http(), place)).startswith("no HTTP reply: ")
    async with serving(answering()) as place:
        assert await failure(http(), place) == "closed without a reply"
    async with serving(resetting) as place:
        assert await failure(http(), place) == "cannot receive: Connection reset by peer"
    assert await failure(http(), refusing()) == "cannot connect: Connection refused"


async def test_over_a_unix_socket(tmp_path: Path) -> None:
    path = str(tmp_path / "socket")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        writer.close()

    async with await asyncio.start_unix_server(serve, path):
        assert await http(expected_body="ok").check(Target(f"unix:{path}", 0, socket.AF_UNIX, path)) == "status 200"


async def test_the_default_port_is_left_out_of_the_host() -> None:
    assert http()._host_line(target(80, "web.example")) == b"Host: web.example\r\n"
    assert http(scheme="https")._host_line(target(443, "web.example")) == b"Host: web.example\r\n"
    assert http(scheme="https")._host_line(target(80, "web.example")) == b"Host: web.example:80\r\n"


def test_header_values_are_secrets() -> None:
    options = HttpOptions.model_validate({"interval": "1s", "http_headers": {"X-Token": "hunter2"}})
    assert "hunter2" not in repr(options)
