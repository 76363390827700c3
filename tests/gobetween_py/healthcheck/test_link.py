"""How the connection of a check comes to a backend: from an address, with a header first, or for lack of ports not."""

import asyncio
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from gobetween_py.healthcheck.contract import Check, NoVerdictError
from gobetween_py.healthcheck.http import Http, HttpOptions
from gobetween_py.healthcheck.link import Link
from gobetween_py.healthcheck.ping import Ping, PingOptions
from gobetween_py.healthcheck.probe import Probe, ProbeOptions
from gobetween_py.proxy.source import AF_INET, Source
from tests.gobetween_py.healthcheck.sockets import HOST, serving, target

HEADER = b"PROXY UNKNOWN\r\n"
HTTP = Http(HttpOptions.model_validate({"interval": "1s"}))
PING = Ping(PingOptions.model_validate({"interval": "1s"}))

# In a network of its own, which has two local ports: both are taken by connections to the backend.
NO_PORT_LEFT = """
import asyncio, fcntl, socket, struct, sys
from gobetween_py.healthcheck.contract import NoVerdictError, Target
from gobetween_py.healthcheck.link import Link

kind = socket.SocketKind[sys.argv[1]]
with socket.socket() as sock:
    SIOCSIFFLAGS, IFF_UP = 0x8914, 1
    fcntl.ioctl(sock, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", IFF_UP))
with open("/proc/sys/net/ipv4/ip_local_port_range", "w") as ports:
    ports.write("40000 40001")
backend = socket.socket(type=kind)
backend.bind(("127.0.0.1", 80))
if kind == socket.SOCK_STREAM:
    backend.listen()
taken = [socket.socket(type=kind) for _ in range(2)]
for client in taken:
    client.connect(("127.0.0.1", 80))

async def check():
    with Link(Target("127.0.0.1", 80, socket.AF_INET, ("127.0.0.1", 80)), kind) as link:
        await link.connect()

try:
    asyncio.run(check())
except NoVerdictError as error:
    print(error)
"""


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


async def test_a_backend_that_sends_faster_than_it_is_read_holds_up_nobody() -> None:
    """Its next bytes are always there already: a check that took them without a pause would keep all others waiting."""
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    with socket.create_server((HOST, 0)) as backend, Link(target(backend.getsockname()[1])) as link:
        await link.connect()
        peer, _ = backend.accept()
        with peer:
            peer.sendall(b"x" * 1000)
            waiting = asyncio.create_task(others())
            for _ in range(1000):
                assert await link.receive(1) == b"x"
            waiting.cancel()
    assert turns >= 1000


async def test_a_source_that_cannot_be_had_says_nothing_of_the_backend() -> None:
    nowhere = Source(own={AF_INET: "192.0.2.1"})
    with pytest.raises(NoVerdictError, match=r"^192\.0\.2\.1 cannot be the source: Cannot assign requested address$"):
        await PING.check(replace(target(1), source=nowhere))


@pytest.mark.skipif(os.geteuid() != 0, reason="a network of its own needs root")
@pytest.mark.parametrize(
    ("kind", "why"),
    [("SOCK_STREAM", "Cannot assign requested address"), ("SOCK_DGRAM", "Resource temporarily unavailable")],
)
async def test_running_out_of_ports_says_nothing_of_the_backend(kind: str, why: str) -> None:
    """Or a balancer with that many connections to it would take it for dead."""
    process = await asyncio.create_subprocess_exec(
        *("unshare", "--net", sys.executable, "-c", NO_PORT_LEFT, kind),
        cwd=Path(__file__).parents[3],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    output, _ = await process.communicate()
    assert output.decode() == f"no port left: {why}\n"
