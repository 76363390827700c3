"""An HTTP server in the engine's place: what it must not be able to do, and what no engine at hand does."""

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
from discovery.docker.kind import Docker
from discovery.docker.options import DockerOptions
from discovery.registry import load
from tests.discovery.web import Web, endless, serving


def container(name: str, **other: Any) -> dict[str, Any]:
    port = {"IP": "10.0.0.1", "PrivatePort": 80, "PublicPort": 8080, "Type": "tcp"}
    return {"Id": name * 64, "Names": [f"/{name}"], "Ports": [port], **other}


class Engine:
    """Says what the test tells it to say."""

    def __init__(self, server: Web) -> None:
        server.answer = self._answer
        self.server = server
        self.version: Any = {"ApiVersion": "1.41"}
        self.containers: Any = [container("a")]
        self.environments: dict[str, Any] = {}
        self.asked: list[str] = []
        self.instead: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]] | None = None

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        if request.path == "/version":
            return self._json(self.version)
        if self.instead:
            return await self.instead(request)
        if request.path.endswith("/containers/json"):
            return self._json(self.containers)
        name = request.path.split("/")[-2][0]
        if name not in self.environments:
            return web.json_response({"message": f"No such container: {name}"}, status=404)
        return web.json_response({"Config": {"Env": self.environments[name]}})

    @staticmethod
    def _json(content: Any) -> web.Response:
        return web.Response(body=content if isinstance(content, bytes) else json.dumps(content).encode())


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with serving(socket=tmp_path / "docker.sock") as server:
        yield Engine(server)


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Callable[..., Docker]]:
    made: list[Docker] = []

    def make(**keys: Any) -> Docker:
        endpoint = f"unix://{tmp_path / 'docker.sock'}"
        options = DockerOptions(docker_endpoint=endpoint, docker_container_private_port=80, **keys)
        made.append(Docker(options))
        return made[-1]

    yield make
    for discovery in made:
        await discovery.close()


Make = Callable[..., Docker]


def test_the_registry_knows_it() -> None:
    assert load("docker") is Docker


async def test_only_what_serves_is_asked_for_in_the_engines_own_version(engine: Engine, make: Make) -> None:
    discovery = make(docker_container_label="a=b")
    for _ in range(3):
        assert [spec.address for spec in await discovery.fetch()] == ["10.0.0.1:8080"]
    assert engine.asked == ["/version"] + ["/v1.41/containers/json"] * 3
    filters = json.loads(engine.server.requests[-1].query["filters"])
    assert filters == {"status": ["running"], "health": ["none", "starting", "healthy"], "label": ["a=b"]}
    assert len(engine.server.connections) == 1


async def test_bad_entries_are_skipped_and_named(engine: Engine, make: Make, caplog: pytest.LogCaptureFixture) -> None:
    engine.containers = [container("a"), 7, container("b", Labels={"weight": "x"}), {"Names": ["/c"]}, container("d")]
    discovery = make()
    assert len(await discovery.fetch()) == 2
    discovery.skipped.settle(logging.getLogger(), "web")
    assert [message.split(": ")[1] for message in caplog.messages] == [
        "skipped a container",
        "skipped container b",
        "skipped a container",
    ]


async def test_an_environment_is_asked_for_once_and_a_container_that_is_gone_is_none(
    engine: Engine, make: Make
) -> None:
    engine.containers = [container(name) for name in "abc"]
    engine.environments = {"a": ["H=10.0.0.5", "I=x"], "b": None}
    discovery = make(docker_container_host_env_var="H")
    for _ in range(2):
        assert [spec.host for spec in await discovery.fetch()] == ["10.0.0.5", "10.0.0.1"]
    assert [path[-7] for path in engine.asked if path.endswith("/json") and "containers/json" not in path] == [
        *"abc",
        "c",
    ]


@pytest.mark.parametrize(
    "answer",
    [b"", b"\x00\xff" * 1000, b"[" * 1_000_000, b'[{"a":' * 100_000, b"{}", b"null", b'"text"', b"[1", b"<html>"],
)
async def test_what_is_no_list_of_containers_is_a_failure(engine: Engine, make: Make, answer: bytes) -> None:
    engine.containers = answer
    with pytest.raises(DiscoveryError, match=r"unix:///.*docker\.sock: "):
        await make().fetch()


@pytest.mark.parametrize("version", [[], {}, {"ApiVersion": 1}, {"ApiVersion": "../x"}, b"OK"])
async def test_what_does_not_tell_its_version_is_no_engine(engine: Engine, make: Make, version: Any) -> None:
    engine.version = version
    with pytest.raises(DiscoveryError, match=r"docker\.sock(: Expecting value| is no Docker engine)"):
        await make().fetch()


async def test_a_refusal_is_named(engine: Engine, make: Make) -> None:
    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.json_response({"message": "client version 1.41 is too old"}, status=400)

    engine.instead = refuse
    with pytest.raises(DiscoveryError, match=r"answered 400: client version 1\.41 is too old"):
        await make().fetch()


async def test_an_endless_answer_is_a_failure(engine: Engine, make: Make) -> None:
    engine.instead = endless
    with pytest.raises(DiscoveryError, match="larger than 8 MiB"):
        await make().fetch()


async def test_after_an_answer_that_did_not_come_the_next_fetch_is_a_new_one(engine: Engine, make: Make) -> None:
    discovery = make()
    engine.instead = engine.server.silent
    for _ in range(3):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await discovery.fetch()
        await asyncio.sleep(0.05)
    engine.instead = None
    assert len(await discovery.fetch()) == 1


async def test_without_an_engine_the_failure_says_so(make: Make) -> None:
    with pytest.raises(DiscoveryError, match=r"docker\.sock: No such file or directory"):
        await make().fetch()


async def test_events_ask_for_a_fetch_and_their_end_ends_the_watch(engine: Engine, make: Make) -> None:
    go = asyncio.Event()

    async def events(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await go.wait()
        await response.write(b'{"Action": "start"}\n')
        return response

    discovery = make()
    await discovery.fetch()
    engine.instead = events
    async with aclosing(discovery.watch()) as pushed:
        await anext(pushed)
        go.set()
        assert [one async for one in pushed] == [None]
    assert engine.asked[-1] == "/events"
    assert json.loads(engine.server.requests[-1].query["filters"])["type"] == ["container", "network"]


async def test_events_that_are_refused_are_an_error(engine: Engine, make: Make) -> None:
    async def refuse(_: web.BaseRequest) -> web.Response:
        return web.Response(status=403)

    discovery = make()
    await discovery.fetch()
    engine.instead = refuse
    with pytest.raises(DiscoveryError, match="events answered 403"):
        await anext(discovery.watch())
