"""ping: does it take a TCP connection."""

import asyncio
import os
import resource
import socket
from pathlib import Path

import pytest

from gobetween_py.healthcheck.contract import CheckFailedError, NoVerdictError, Target
from gobetween_py.healthcheck.ping import Ping, PingOptions
from tests.gobetween_py.healthcheck.sockets import answering, refusing, serving, silent


@pytest.fixture
def ping() -> Ping:
    return Ping(PingOptions.model_validate({"interval": "1s"}))


async def test_a_listening_socket_is_alive(ping: Ping) -> None:
    """And sees an orderly end: nothing was sent."""
    seen: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result(await reader.read())

    async with serving(script) as target:
        assert await ping.check(target) == "connected"
        assert await seen == b""


async def test_a_unix_socket_is_alive(ping: Ping, tmp_path: Path) -> None:
    path = str(tmp_path / "socket")
    async with await asyncio.start_unix_server(lambda *_: None, path):
        assert await ping.check(Target(f"unix:{path}", 0, socket.AF_UNIX, path)) == "connected"
    os.unlink(path)
    with pytest.raises(CheckFailedError, match="cannot connect: No such file or directory"):
        await ping.check(Target(f"unix:{path}", 0, socket.AF_UNIX, path))


async def test_a_closed_port_is_not(ping: Ping) -> None:
    with pytest.raises(CheckFailedError, match=r"^cannot connect: Connection refused$"):
        await ping.check(refusing())


async def test_a_host_that_this_machine_has_no_way_to_is_not_alive(ping: Ping) -> None:
    with pytest.raises(CheckFailedError, match=r"^cannot connect: "):
        await ping.check(Target("255.255.255.255", 1, socket.AF_INET, ("255.255.255.255", 1)))


async def test_a_connect_without_an_answer_may_be_cancelled(ping: Ping) -> None:
    """And leaves no socket behind."""
    with silent() as target:
        before = os.listdir("/proc/self/fd")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await ping.check(target)
        assert os.listdir("/proc/self/fd") == before


async def test_running_out_of_files_says_nothing_of_the_backend(ping: Ping) -> None:
    """Or all backends would go down at once."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with serving(answering()) as target:
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
        try:
            with pytest.raises(NoVerdictError, match="no socket: Too many open files"):
                await ping.check(target)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
