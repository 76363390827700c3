"""An HTTP server in the LXD server's place: what it must not be able to do, and what no LXD at hand does."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from discovery.contract import DiscoveryError
from discovery.lxd.kind import Lxd
from discovery.lxd.options import LxdOptions
from discovery.registry import load
from tests.discovery.web import Web, endless, serving


def state(*addresses: str) -> dict[str, Any]:
    found = [{"family": "inet", "address": address, "scope": "global"} for address in addresses]
    return {"network": {"eth0": {"addresses": found}}}


def container(name: str, *addresses: str, **other: Any) -> dict[str, Any]:
    return {"name": name, "status": "Running", "config": {}, "state": state(*addresses)} | other


class Server:
    """Says what the test tells it to say."""

    def __init__(self, server: Web) -> None:
        server.answer = self._answer
        self.server = server
        self.info: Any = {"auth": "trusted", "api_extensions": ["container_full"]}
        self.containers: Any = [container("a", "10.0.0.1")]
        self.states: dict[str, Any] = {}
        self.asked: list[str] = []
        self.instead: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path_qs)
        if request.path == "/1.0":
            return self._sync(self.info)
        if self.instead:
            return await self.instead(request)
        if request.path == "/1.0/containers":
            return self._sync(self.containers)
        return self._sync(self.states[request.path.split("/")[3]])

    @staticmethod
    def _sync(content: Any) -> web.Response:
        if isinstance(content, bytes):
            return web.Response(body=content)
        return web.json_response({"type": "sync", "status": "Success", "status_code": 200, "metadata": content})


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with serving(socket=tmp_path / "unix.socket") as server:
        yield Server(server)


Make = Callable[..., Lxd]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    made: list[Lxd] = []

    def make(**keys: Any) -> Lxd:
        address = f"unix://{tmp_path / 'unix.socket'}"
        made.append(Lxd(LxdOptions(lxd_server_address=address, lxd_container_port=80, **keys)))
        return made[-1]

    yield make
    for discovery in made:
        await discovery.close()


def test_the_registry_knows_it() -> None:
    assert load("lxd") is Lxd


async def test_one_question_brings_all_containers_with_their_state(server: Server, make: Make) -> None:
    server.containers = [container(name, f"10.0.0.{number}") for number, name in enumerate("abc")]
    discovery = make()
    for _ in range(3):
        assert [spec.host for spec in await discovery.fetch()] == ["10.0.0.0", "10.0.0.1", "10.0.0.2"]
    assert server.asked == ["/1.0"] + ["/1.0/containers?recursion=2"] * 3
    assert len(server.server.connections) == 1


async def test_a_server_that_tells_no_state_with_the_list_is_asked_for_each(server: Server, make: Make) -> None:
    """LXD before 3.7."""
    server.info["api_extensions"] = []
    server.containers = [container("a") | {"state": None}, container("b", status="Stopped") | {"state": None}]
    server.states = {"a": state("10.0.0.5")}
    assert [spec.host for spec in await make().fetch()] == ["10.0.0.5"]
    assert server.asked == ["/1.0", "/1.0/containers?recursion=1", "/1.0/containers/a/state"]


async def test_bad_entries_are_skipped_and_named(server: Server, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    server.containers = [7, container("a", "10.0.0.1"), container("b", status="Stopped"), container("c")]
    discovery = make()
    assert len(await discovery.fetch()) == 1
    discovery.skipped.settle(logging.getLogger("lxd"), "web")
    assert [record.getMessage().split(": ")[1] for record in caplog.records if record.name == "lxd"] == [
        "skipped a container",
        "skipped container b",
        "skipped container c",
    ]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00\xff" * 1000,
        b"[" * 1_000_000,
        b'{"metadata":' + b'[{"a":' * 100_000,
        b"{}",
        b'{"metadata": null}',
        b'{"metadata": [1',
        b"<html>",
    ],
)
async def test_what_is_no_list_of_containers_is_a_failure(server: Server, make: Make, answer: bytes) -> None:
    server.containers = answer
    with pytest.raises(DiscoveryError, match=r"unix:///.*unix\.socket: "):
        await make().fetch()


@pytest.mark.parametrize("info", [b"", b"\x00\xff", b"{}", b"[]", b'{"type": "sync"}', [], {}, {"auth": "trusted"}])
async def test_what_does_not_introduce_itself_is_a_failure(server: Server, make: Make, info: Any) -> None:
    server.info = info
    with pytest.raises(DiscoveryError, match=r"unix:///.*unix\.socket"):
        await make().fetch()


async def test_a_refusal_is_named(server: Server, make: Make) -> None:
    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.json_response({"type": "error", "error": "not authorized", "error_code": 403}, status=403)

    server.instead = refuse
    with pytest.raises(DiscoveryError, match="answered 403: not authorized"):
        await make().fetch()


async def test_an_endless_answer_is_a_failure(server: Server, make: Make) -> None:
    server.instead = endless
    with pytest.raises(DiscoveryError, match="larger than 8 MiB"):
        await make().fetch()


async def test_after_an_answer_that_did_not_come_the_next_fetch_is_a_new_one(server: Server, make: Make) -> None:
    discovery = make()
    server.instead = server.server.silent
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await discovery.fetch()
        await asyncio.sleep(0.05)
    server.instead = None
    assert len(await discovery.fetch()) == 1


async def test_without_a_server_the_failure_says_so(make: Make) -> None:
    with pytest.raises(DiscoveryError, match=r"unix\.socket: No such file or directory"):
        await make().fetch()


class Story:
    """What the server tells, each event as soon as the test says so."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[str | None] = asyncio.Queue()

    def tell(self, event: str | None) -> None:
        """None is the end."""
        self._told.put_nowait(event)

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        reading = asyncio.ensure_future(socket.receive())
        while event := await self._told.get():
            await socket.send_str(event)
        reading.cancel()
        await socket.close()
        return socket


def lifecycle(action: str) -> str:
    return json.dumps({"type": "lifecycle", "metadata": {"action": action, "source": "/1.0/instances/a"}})


async def test_events_of_containers_ask_for_a_fetch(server: Server, make: Make) -> None:
    discovery, story = make(), Story()
    await discovery.fetch()
    server.instead = story.answer
    async with aclosing(discovery.watch()) as pushed:
        await anext(pushed)
        for action in "instance-started", "container-shutdown":
            story.tell(lifecycle(action))
            await anext(pushed)
        story.tell(lifecycle("image-created"))
        story.tell(None)
        with pytest.raises(StopAsyncIteration):
            await anext(pushed)
    assert server.asked[-1] == "/1.0/events?type=lifecycle"


@pytest.mark.parametrize("event", ["x", "[" * 100_000, "[]", '{"metadata": 1}', "\x00"])
async def test_an_event_that_is_none_of_lxd_asks_for_a_fetch(server: Server, make: Make, event: str) -> None:
    discovery, story = make(), Story()
    await discovery.fetch()
    server.instead = story.answer
    async with aclosing(discovery.watch()) as pushed:
        await anext(pushed)
        story.tell(event)
        await anext(pushed)
    story.tell(None)


async def test_an_event_of_many_megabytes_ends_the_watch(server: Server, make: Make) -> None:
    discovery, story = make(), Story()
    await discovery.fetch()
    server.instead = story.answer
    async with aclosing(discovery.watch()) as pushed:
        await anext(pushed)
        story.tell("x" * (4 << 20))
        story.tell(None)
        with pytest.raises(StopAsyncIteration):
            await anext(pushed)


async def test_a_container_that_runs_without_an_address_is_looked_at_again(server: Server, make: Make) -> None:
    """No event tells that a container got its address."""
    server.containers = [container("a")]
    discovery, story = make(), Story()
    assert await discovery.fetch() == []
    server.instead = story.answer
    async with aclosing(discovery.watch()) as pushed:
        await anext(pushed)
        server.instead = None
        for _ in range(2):
            assert await discovery.fetch() == []
            await anext(pushed)
        server.containers = [container("a", "10.0.0.1")]
        assert len(await discovery.fetch()) == 1
    story.tell(None)
