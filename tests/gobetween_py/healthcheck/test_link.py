"""How the connection of a check comes to a backend: from an address, and with a header first."""

import asyncio
import socket
from dataclasses import replace

import pytest

from gobetween_py.healthcheck.contract import Check, NoVerdictError
from gobetween_py.healthcheck.http import Http, HttpOptions
from gobetween_py.healthcheck.ping import Ping, PingOptions
from gobetween_py.healthcheck.probe import Probe, ProbeOptions
from gobetween_py.proxy.source import AF_INET, Source
from tests.gobetween_py.healthcheck.sockets import HOST, serving, target

HEADER = b"PROXY UNKNOWN\r\n"
HTTP = Http(HttpOptions.model_validate({"interval": "1s"}))
PING = Ping(PingOptions.model_validate({"interval": "1s"}))


def probe(protocol: str) -> Probe:
    given = {"interval": "1s", "probe_protocol": protocol, "probe_send": "PING", "probe_recv": "PONG"}
    return Probe(ProbeOptions.model_validate(given))


@pytest.mark.parametrize(
    ("check", "expected"),
    [(PING, b""), (probe("tcp"), b"PING"), (HTTP, b"GET / HTTP/1.1\r\n")],
    ids=["ping", "probe", "http"],
)
async def test_the_header_goes_before_everything_else(check: Check, expected: bytes) -> None:
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(await reader.readexactly(len(HEADER + expected)))
        writer.write(b"PONG" if expected == b"PING" else b"HTTP/1.1 200 OK\r\n\r\n")

    async with serving(script) as there:
        await check.check(replace(there, header=HEADER))
        assert await seen == HEADER + expected


async def test_over_udp_it_is_part_of_each_datagram() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.bind((HOST, 0))
        server.setblocking(False)
        loop = asyncio.get_running_loop()
        checked = asyncio.create_task(probe("udp").check(replace(target(server.getsockname()[1]), header=HEADER)))
        data, peer = await loop.sock_recvfrom(server, 100)
        assert data == HEADER + b"PING"
        server.sendto(b"PONG", peer)
        assert await checked == "answered 'PONG'"


async def test_it_comes_from_the_source() -> None:
    peer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer.set_result(writer.get_extra_info("peername")[0])

    async with serving(script) as there:
        await PING.check(replace(there, source=Source(own={AF_INET: "127.0.0.7"})))
        assert await peer == "127.0.0.7"


async def test_a_source_that_cannot_be_had_says_nothing_of_the_backend() -> None:
    nowhere = Source(own={AF_INET: "192.0.2.1"})
    with pytest.raises(NoVerdictError, match=r"^192\.0\.2\.1 cannot be the source: Cannot assign requested address$"):
        await PING.check(replace(target(1), source=nowhere))
