"""How Consul is asked, and what becomes of answers that are none."""

import asyncio
import base64
import gzip
from collections.abc import AsyncIterator

import pytest
from aiohttp import web

from discovery.consul.access import Access
from discovery.consul.client import Consul, NoAnswerError, RefusedError
from discovery.contract import MAX_ANSWER, DiscoveryError
from tests.discovery.consul.answers import answering, client_of, host_of
from tests.discovery.web import Web, endless, serving
from tests.services.ports import free_port
from tests.services.process import LOOPBACK


@pytest.fixture
async def server() -> AsyncIterator[Web]:
    async with serving() as server:
        server.answer = answering()
        yield server


@pytest.fixture
async def other() -> AsyncIterator[Web]:
    async with serving() as server:
        server.answer = answering()
        yield server


async def test_a_read_says_what_is_wanted_and_who_asks(server: Web) -> None:
    client = client_of(server, token="s3cret", datacenter="dc2", stale=True, username="user", password="pass")
    reply = await client.health.service("web", passing=True, tag="a b")
    await client.close()
    (request,) = server.requests
    assert request.path == "/v1/health/service/web"
    assert dict(request.query) == {"passing": "1", "tag": "a b", "dc": "dc2", "stale": "1"}
    assert request.headers["X-Consul-Token"] == "s3cret"
    assert request.headers["Authorization"] == f"Basic {base64.b64encode(b'user:pass').decode()}"
    assert (reply.host, reply.status, reply.index, reply.filtered, reply.text) == (host_of(server), 200, 5, False, "[]")


async def test_names_are_quoted_once(server: Web) -> None:
    client = client_of(server)
    await client.kv.get("a key/with?100%")
    await client.close()
    assert server.requests[0].raw_path == "/v1/kv/a%20key/with%3F100%25"


async def test_the_environment_does_not_win_over_the_config(server: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"{LOOPBACK}:{free_port()}"
    monkeypatch.setenv("CONSUL_HTTP_ADDR", nowhere)
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", "environment")
    monkeypatch.setenv("CONSUL_HTTP_SSL", "true")
    monkeypatch.setenv("HTTP_PROXY", f"http://{nowhere}")
    client = client_of(server, token="config")
    await client.kv.get("key")
    await client.close()
    assert server.requests[0].headers["X-Consul-Token"] == "config"


@pytest.mark.parametrize("address", ["[::1]:8500", "https://consul.example", "unix:///run/consul.sock"])
async def test_any_address_in_the_environment_is_left_alone(
    server: Web, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    monkeypatch.setenv("CONSUL_HTTP_ADDR", address)
    client = client_of(server)
    assert (await client.kv.get("key")).host == host_of(server)
    await client.close()


async def test_the_connection_is_reused(server: Web) -> None:
    client = client_of(server)
    for _ in range(3):
        await client.kv.get("key")
    await client.close()
    assert len(server.requests) == 3
    assert len(server.connections) == 1


async def test_a_closed_client_opens_again(server: Web) -> None:
    client = client_of(server)
    await client.kv.get("key")
    await client.close()
    assert (await client.kv.get("key")).status == 200
    await client.close()


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
async def test_a_host_that_is_unable_is_followed_by_the_next_which_then_comes_first(
    server: Web, other: Web, status: int
) -> None:
    server.answer = answering(b"No cluster leader", status=status)
    client = client_of(server, other)
    for _ in range(2):
        assert (await client.kv.get("key")).host == host_of(other)
    await client.close()
    assert len(server.requests) == 1


async def test_a_host_that_is_silent_has_its_share_of_the_timeout(server: Web, other: Web) -> None:
    server.answer = server.silent
    client = client_of(server, other, timeout=0.4)
    async with asyncio.timeout(5):
        assert (await client.kv.get("key")).host == host_of(other)
    await client.close()


async def test_when_no_host_answers_the_error_has_the_reason_of_each(server: Web) -> None:
    server.answer = answering(b"No cluster  leader\n", status=500)
    dead = f"{LOOPBACK}:{free_port()}"
    client = Consul(Access((dead, host_of(server))))
    with pytest.raises(NoAnswerError) as raised:
        await client.kv.get("key")
    await client.close()
    assert str(raised.value) == (f"{dead}: Connection refused; {host_of(server)}: HTTP status 500: No cluster leader")


async def test_a_refusal_is_not_taken_to_another_host(server: Web, other: Web) -> None:
    server.answer = answering(b"ACL not found", status=403)
    client = client_of(server, other)
    with pytest.raises(RefusedError, match="HTTP status 403: ACL not found") as raised:
        await client.kv.get("key")
    await client.close()
    assert raised.value.status == 403
    assert not other.requests


async def test_what_a_server_repeats_of_the_secrets_is_masked(server: Web) -> None:
    credentials = base64.b64encode(b"user:pass")
    server.answer = answering(b"no token s3cret of " + credentials, status=403)
    client = client_of(server, token="s3cret", username="user", password="pass")
    with pytest.raises(RefusedError) as raised:
        await client.kv.get("key")
    await client.close()
    assert str(raised.value).endswith("HTTP status 403: no token *** of ***")


async def test_a_redirect_does_not_take_the_token_elsewhere(server: Web, other: Web) -> None:
    async def elsewhere(_request: web.BaseRequest) -> web.Response:
        raise web.HTTPFound(f"http://{host_of(other)}/")

    server.answer = elsewhere
    client = client_of(server, token="s3cret")
    with pytest.raises(RefusedError, match="302"):
        await client.kv.get("key")
    await client.close()
    assert not other.requests


async def test_an_answer_that_does_not_end_is_left_at_the_bound(server: Web) -> None:
    server.answer = endless
    client = client_of(server)
    with pytest.raises(DiscoveryError, match="larger than 8 MiB"):
        await client.kv.get("key")
    await client.close()


async def test_an_answer_up_to_the_bound_is_taken(server: Web) -> None:
    server.answer = answering(b" " * MAX_ANSWER)
    client = client_of(server, timeout=30)
    assert len((await client.kv.get("key")).text) == MAX_ANSWER
    await client.close()


@pytest.mark.parametrize("body", [bytes(range(256)), gzip.compress(b" " * 2**24)], ids=["binary", "gzip"])
async def test_an_answer_that_is_no_text_is_a_failure(server: Web, body: bytes) -> None:
    """Nothing is inflated: compression was not asked for."""
    server.answer = answering(body, headers={"Content-Encoding": "gzip"} if body[:2] == b"\x1f\x8b" else {})
    client = client_of(server)
    with pytest.raises(DiscoveryError, match="is no text"):
        await client.kv.get("key")
    await client.close()


async def test_a_server_that_speaks_something_else_is_a_failure() -> None:
    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        writer.close()

    listener = await asyncio.start_server(greet, LOOPBACK, 0)
    host = "{}:{}".format(*listener.sockets[0].getsockname())
    client = Consul(Access((host,)))
    with pytest.raises(NoAnswerError, match=host):
        await client.kv.get("key")
    await client.close()
    listener.close()


async def test_a_blocking_query_outlasts_the_timeout_and_asks_one_host_only(server: Web, other: Web) -> None:
    released = asyncio.Event()

    async def later(_request: web.BaseRequest) -> web.Response:
        await released.wait()
        return web.Response(body=b"[]", status=500)

    server.answer = later
    client = client_of(server, other, timeout=0.1)
    blocked = asyncio.ensure_future(client.health.service("web", index=5, wait="60s"))
    assert (await asyncio.wait([blocked], timeout=0.5))[1] == {blocked}
    released.set()
    with pytest.raises(NoAnswerError, match="500"):
        await blocked
    await client.close()
    assert not other.requests
    assert dict(server.requests[0].query) == {"index": "5", "wait": "60s"}


@pytest.mark.parametrize(("header", "index"), [("7", 7), ("", None), ("-1", None), ("x", None), ("9" * 5000, None)])
async def test_an_index_is_a_number_or_none(server: Web, header: str, index: int | None) -> None:
    server.answer = answering(index=None, headers={"X-Consul-Index": header})
    client = client_of(server)
    assert (await client.kv.get("key")).index == index
    await client.close()
