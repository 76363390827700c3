"""A check's connection, where it fails for reasons that lie with this machine. The kinds' tests show the others."""

import asyncio
import os
import sys
from pathlib import Path

import pytest

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
