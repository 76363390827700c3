"""From events to "fetch now"."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import uvloop
from aiohttp import web

from discovery.daemon.events import Changes, keep_alive
from tests.discovery.web import Web, serving


async def test_changes_that_come_together_are_one() -> None:
    changes, go = Changes(), asyncio.Event()

    async def listen() -> None:
        for _ in range(3):
            changes.now()
        await go.wait()
        changes.now()

    async with aclosing(changes.told_by(listen())) as told:
        await anext(told)
        go.set()
        assert [one async for one in told] == []  # the change together with the end is the end


async def test_what_listening_raises_is_raised() -> None:
    async def listen() -> None:
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await anext(Changes().told_by(listen()))


async def test_who_stops_asking_ends_the_listening() -> None:
    changes, ended = Changes(), asyncio.Event()

    async def listen() -> None:
        try:
            changes.now()
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with aclosing(changes.told_by(listen())) as told:
        await anext(told)
    await ended.wait()


async def test_later_is_taken_back_by_another_or_by_never() -> None:
    changes, told = Changes(), []

    async def ask() -> None:
        async for _ in changes.told_by(asyncio.sleep(0.2)):
            told.append(1)

    changes.later(0.01)
    changes.later(0.02)
    await ask()
    assert told == [1]
    changes.later(0.01)
    changes.never()
    await ask()
    assert told == [1]


def _timers(port: int) -> set[str]:
    """Kinds of the timers of established connections to that port (proc_net_tcp in the kernel's documentation).

    02 is keepalive. Connections of others that had the port before may stand there in TIME_WAIT.
    """
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    established = (field for field in fields if field[2].endswith(f":{port:04X}") and field[3] == "01")
    return {field[5].partition(":")[0] for field in established}


@asynccontextmanager
async def _quiet_stream(session: aiohttp.ClientSession, server: Web, url: str) -> AsyncIterator[aiohttp.ClientResponse]:
    """An answer that begins, and has nothing to say until the test is over."""

    async def begin(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await server.over.wait()
        return response

    server.answer = begin
    async with session.get(url) as response:
        yield response
    server.over.set()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_a_connection_is_probed_while_it_is_quiet(run: Callable[..., None]) -> None:
    async def probed() -> None:
        async with (
            serving() as server,
            aiohttp.ClientSession() as session,
            _quiet_stream(session, server, server.url) as response,
        ):
            assert _timers(server.port) == {"00"}
            keep_alive(response)
            assert _timers(server.port) == {"02"}

    run(probed())


async def test_a_unix_socket_needs_no_probes(tmp_path: Path) -> None:
    path = tmp_path / "d.sock"
    connector = aiohttp.UnixConnector(str(path))
    async with (
        serving(socket=path) as server,
        aiohttp.ClientSession(connector=connector) as session,
        _quiet_stream(session, server, "http://localhost/") as response,
    ):
        keep_alive(response)
