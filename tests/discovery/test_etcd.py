"""Keys and values, pages, the watch, and what a gateway may answer."""

import asyncio
import base64
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery import etcd as module
from discovery.contract import MAX_ANSWER, DiscoveryError
from discovery.etcd import MAX_VALUE, Etcd, EtcdOptions, parse_value
from discovery.etcd_gateway import LARGEST_DECODED
from tests.discovery.web import Web, endless, serving
from tests.services.ports import free_port

STORE = {"/web/a": "10.0.0.1:80 weight=2", "/web/b": '{"host": "10.0.0.2", "port": "81", "sni": "x"}'}
SPECS = [BackendSpec("10.0.0.1", 80, 2), BackendSpec("10.0.0.2", 81, sni="x")]


def make(*endpoints: str, **options: Any) -> Etcd:
    given = {"kind": "etcd", "etcd_endpoints": list(endpoints), "etcd_prefix": "/web/", **options}
    return Etcd(EtcdOptions.model_validate(given))


@contextlib.asynccontextmanager
async def discovery(*before: str, **options: Any) -> AsyncIterator[tuple[Etcd, Web]]:
    """Asks a server of the test, after other endpoints."""
    async with serving() as server, asyncio.timeout(30):
        kind = make(*before, server.url, **options)
        yield kind, server
        await kind.close()


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def page(store: dict[str, str], revision: int = 7, **more: Any) -> dict[str, Any]:
    """A range response as the gateway writes it."""
    pairs = [{"key": b64(key), "value": b64(value)} for key, value in store.items()]
    return {"header": {"revision": str(revision)}, "kvs": pairs, "count": str(len(pairs)), **more}


def answering(*messages: Any, status: int = 200) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
    """Each message (text or JSON) a line."""
    lines = [message if isinstance(message, str) else json.dumps(message) for message in messages]

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body="\n".join(lines).encode("latin-1"), status=status)

    return answer


async def test_each_key_is_a_backend() -> None:
    async with discovery() as (kind, server):
        server.answer = answering(page(STORE))
        assert await kind.fetch() == SPECS
        assert server.requests[0].path == "/v3/kv/range"


async def test_no_keys_are_an_empty_answer() -> None:
    async with discovery() as (kind, server):
        server.answer = answering({"header": {"revision": "7"}})
        assert await kind.fetch() == []


async def test_bad_keys_are_skipped_and_named() -> None:
    bad = page({"/web/c": "", "/web/d": "nonsense", "/web/e": '{"host": "a"}', "/web/f": "{", "/web/g": "{" * 20000})
    bad["kvs"] += [
        {"key": b64("/web/h"), "value": "no base64!"},
        {"key": b64("/web/i"), "value": 5},
        {"key": b64("/web/j")},
    ]
    bad["kvs"] += [{"key": b64("/web/k"), "value": base64.b64encode(b"\xff\xfe").decode()}, *page(STORE)["kvs"]]
    bad["kvs"] += [{"key": b64("/web/l"), "value": b64(" " * (MAX_VALUE + 1))}]
    async with discovery() as (kind, server):
        server.answer = answering(bad)
        assert await kind.fetch() == SPECS
        assert [message.partition(":")[0] for message in kind.skipped._now] == [
            f"key /web/{key}" for key in "cdefghijkl"
        ]


async def test_many_keys_are_read_in_pages_of_one_revision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    store = {f"/web/{number}": f"10.0.0.{number}:80" for number in range(1, 6)}
    asked = []

    async def paged(request: web.BaseRequest) -> web.Response:
        body = json.loads(await request.text())
        asked.append(
            (base64.b64decode(body["key"]), base64.b64decode(body["range_end"]), body["limit"], body["revision"])
        )
        rest = {key: value for key, value in store.items() if key.encode() >= asked[-1][0]}
        first = dict(list(rest.items())[: body["limit"]])
        return web.json_response(page(first, 7 + len(asked), more=len(rest) > 2))

    async with discovery() as (kind, server):
        server.answer = paged
        assert [spec.host for spec in await kind.fetch()] == [f"10.0.0.{number}" for number in range(1, 6)]
    first, second, third = b"/web/", b"/web/2\0", b"/web/4\0"
    assert asked == [(first, b"/web0", 2, 0), (second, b"/web0", 2, 8), (third, b"/web0", 2, 8)]


async def test_more_without_keys_does_not_go_on_for_ever() -> None:
    async with discovery() as (kind, server):
        server.answer = answering({"header": {"revision": "7"}, "more": True})
        assert await kind.fetch() == []
        assert len(server.requests) == 1


async def test_pages_are_bounded_together() -> None:
    value = "x" * (MAX_ANSWER // 32)

    async def on_and_on(request: web.BaseRequest) -> web.Response:
        return web.json_response(page({f"/web/{len(server.requests)}": value}, more=True))

    async with discovery() as (kind, server):
        server.answer = on_and_on
        with pytest.raises(DiscoveryError, match="the keys of '/web/' hold more than 8 MiB"):
            await kind.fetch()
        assert len(server.requests) <= 24 + 3


async def test_keys_with_large_values_are_asked_for_in_smaller_pages() -> None:
    """Decoding a page cannot be interrupted. A value that is too large for a backend is skipped all the same."""
    limits = []
    padding = "x" * (LARGEST_DECODED // 100)
    store = {f"/web/{number:03}": json.dumps({"host": f"h{number}", "port": 80, "_": padding}) for number in range(150)}
    store["/web/999"] = "x" * LARGEST_DECODED

    async def paged(request: web.BaseRequest) -> web.Response:
        body = json.loads(await request.text())
        limits.append(body["limit"])
        rest = {key: value for key, value in store.items() if key.encode() >= base64.b64decode(body["key"])}
        first = {key: "" if body["keys_only"] else value for key, value in list(rest.items())[: body["limit"]]}
        return web.json_response(page(first, more=len(rest) > body["limit"]))

    async with discovery() as (kind, server):
        server.answer = paged
        assert {spec.host for spec in await kind.fetch()} == {f"h{number}" for number in range(150)}
        assert [*kind.skipped._now] == [f"key /web/999: the value has more than {MAX_VALUE} bytes"]
    assert limits[:2] == [500, 62]
    assert limits[-1] == 1


HOSTILE = {
    "not found": (answering("404 page not found", status=404), "answered 404: no JSON object: b'404 page not found'"),
    "redirected": (answering("", status=302), "answered 302: no JSON object"),
    "refused": (
        answering({"error": "etcdserver: permission denied", "code": 7}, status=403),
        "403: 'etcdserver: permis",
    ),
    "error of a stream": (answering({"error": {"message": "no leader"}}), "answered 200: 'no leader'"),
    "empty": (answering(""), "answered 200: no JSON object: b''"),
    "binary": (answering("\x00\xff\xfe\x1b[2J"), r"no JSON object: b'\\x00\\xff\\xfe\\x1b\[2J'"),
    "no object": (answering("[]"), "no JSON object"),
    "nested": (answering("[" * 100_000), "no JSON object"),
    "nested object": (answering('{"a":' * 50_000), "no JSON object"),
    "two": (answering({}, {}), "gave more than one answer"),
    "no header": (answering({"kvs": []}), "malformed answer of etcd: KeyError"),
    "odd header": (answering({"header": []}), "malformed answer of etcd: TypeError"),
    "odd revision": (answering({"header": {"revision": "x"}}), "malformed answer of etcd: ValueError"),
    "odd keys": (answering({"header": {"revision": 1}, "kvs": 5}), "malformed answer of etcd: TypeError"),
    "odd key": (answering({"header": {"revision": 1}, "kvs": [{"key": "%"}]}), "malformed answer of etcd: Error"),
    "odd pair": (answering({"header": {"revision": 1}, "kvs": ["x"]}), "malformed answer of etcd: TypeError"),
    "endless": (endless, "answered more than 0.5 MiB"),
}


@pytest.mark.parametrize("name", HOSTILE)
async def test_a_hostile_answer_is_a_failure(name: str) -> None:
    answer, problem = HOSTILE[name]
    async with discovery() as (kind, server):
        server.answer = answer
        with pytest.raises(DiscoveryError, match=problem):
            await kind.fetch()
        server.answer = answering(page(STORE))
        assert await kind.fetch() == SPECS


async def test_a_server_that_is_not_there_is_a_failure() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(DiscoveryError, match=rf"^{url}: \[Errno 111\]"):
        await make(url).fetch()


async def test_endpoints_are_tried_in_turn_and_the_good_one_stays() -> None:
    nobody = f"http://127.0.0.1:{free_port()}"
    async with serving() as failing, discovery(nobody, failing.url) as (kind, server):
        failing.answer = answering({"error": "etcdserver: no leader"}, status=503)
        server.answer = answering(page(STORE))
        for _ in range(3):
            assert await kind.fetch() == SPECS
        assert len(failing.requests) == 1
        server.answer = answering("", status=500)
        with pytest.raises(DiscoveryError) as caught:
            await kind.fetch()
        for part in (
            f"{nobody}: ",
            f"{failing.url[:-1]} answered 503: 'etcdserver: no leader'",
            f"{server.url[:-1]} answered 500",
        ):
            assert part in str(caught.value)


async def test_a_silent_endpoint_leaves_time_for_the_next() -> None:
    async with serving() as hung, discovery(hung.url, timeout="200ms") as (kind, server):
        hung.answer = hung.silent
        server.answer = answering(page(STORE))
        assert await kind.fetch() == SPECS


class Guarded:
    """A gateway with authentication, whose tokens can expire."""

    def __init__(self) -> None:
        self.tokens = 0
        self.refusal = {"error": "etcdserver: invalid auth token", "code": 16}
        self.status = 401

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = json.loads(await request.text())
        if request.path == "/v3/auth/authenticate":
            if body != {"name": "reader", "password": "geheim"}:
                error = {"error": "etcdserver: authentication failed, invalid user ID or password"}
                return web.json_response(error, status=400)
            self.tokens += 1
            return web.json_response({"header": {}, "token": f"token-{self.tokens}"})
        if request.headers.get("Authorization") != f"token-{self.tokens}":
            return web.json_response(self.refusal, status=self.status)
        return web.json_response(page(STORE))


@pytest.mark.parametrize(
    ("status", "error"), [(401, "etcdserver: invalid auth token"), (400, "etcdserver: revision of auth store is old")]
)
async def test_a_token_is_kept_until_it_expires(status: int, error: str) -> None:
    guarded = Guarded()
    guarded.status, guarded.refusal = status, {"error": error}
    async with discovery(etcd_username="reader", etcd_password="geheim") as (kind, server):
        server.answer = guarded.answer
        for _ in range(2):
            assert await kind.fetch() == SPECS
        assert guarded.tokens == 1
        guarded.tokens += 1  # the server knows another one now
        assert await kind.fetch() == SPECS
        assert guarded.tokens == 3


async def test_a_wrong_password_is_a_failure_that_does_not_show_it() -> None:
    async with discovery(etcd_username="reader", etcd_password="falsch") as (kind, server):
        server.answer = Guarded().answer
        with pytest.raises(DiscoveryError, match="answered 400: 'etcdserver: authentication failed") as caught:
            await kind.fetch()
        assert "falsch" not in str(caught.value) + repr(kind.options)


class Watched:
    """Ranges are answered with revision 7; a watch with these messages, then it stays open."""

    def __init__(self, server: Web, *messages: Any) -> None:
        self.server = server
        self.messages = messages
        self.request: Any = None

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        if request.path != "/v3/watch":
            return web.json_response(page(STORE))
        self.request = json.loads(await request.text())
        response = web.StreamResponse()
        await response.prepare(request)
        for message in self.messages:
            await response.write(message if isinstance(message, bytes) else json.dumps(message).encode() + b"\n")
        await self.server.over.wait()
        return response


def told(**result: Any) -> dict[str, Any]:
    return {"result": {"header": {"revision": "7"}, **result}}


async def test_the_watch_goes_on_where_the_fetch_ended() -> None:
    change = json.dumps(told(events=[{}])).encode()
    async with discovery() as (kind, server):
        watched = Watched(server, told(created=True), told(), change[:9], change[9:] + b"\n" + change + b"\n")
        server.answer = watched.answer
        watch = kind.watch()
        first = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.02)
        assert not server.requests  # it waits for the first answer
        await kind.fetch()
        await first
        await anext(watch)
        assert watched.request["create_request"] == {
            "key": b64("/web/"),
            "range_end": b64("/web0"),
            "start_revision": 8,
        }
        assert server.requests[-1].headers["Grpc-Metadata-hasleader"] == "true"


async def test_a_message_of_thousands_of_changes_is_not_decoded() -> None:
    async with discovery() as (kind, server):
        server.answer = Watched(server, b"x" * (LARGEST_DECODED + 1) + b"\n").answer
        await kind.fetch()
        await anext(kind.watch())


@pytest.mark.parametrize(
    ("message", "problem"),
    [
        (told(canceled=True, compact_revision="9"), "the changes before revision 9 are compacted"),
        (told(canceled=True, cancel_reason="permission denied"), "etcd cancelled the watch: 'permission denied'"),
        ({"result": {"created": True, "header": {"revision": "6"}}}, "the store went back from revision 7 to 6"),
        ({"error": {"message": "etcdserver: no leader"}}, "answered 200: 'etcdserver: no leader'"),
        ({"result": {}}, "malformed message of etcd"),
        ({"result": 5}, "malformed message of etcd"),
        (b"\xff\n", "no JSON object"),
        (b"[" * 100_000 + b"\n", "no JSON object"),
        (b" " * (MAX_ANSWER + 1), "answered more than 8 MiB"),
    ],
)
async def test_a_watch_that_cannot_go_on_breaks(message: Any, problem: str) -> None:
    """It starts again only after another fetch."""
    async with discovery() as (kind, server):
        server.answer = Watched(server, message).answer
        await kind.fetch()
        with pytest.raises(DiscoveryError, match=problem):
            await anext(kind.watch())
        requests = len(server.requests)
        again = asyncio.ensure_future(anext(kind.watch()))
        await asyncio.sleep(0.02)
        assert len(server.requests) == requests
        server.answer = Watched(server, told(events=[{}])).answer
        await kind.fetch()
        await again


@pytest.mark.parametrize(
    ("value", "spec"),
    [
        ("a:80", BackendSpec("a", 80)),
        (" a:80 weight=2 priority=3 max_connections=4 sni=x\n", BackendSpec("a", 80, 2, 3, 4, "x")),
        (
            '{"host": "::1", "port": 80, "weight": 2, "priority": 3, "max_connections": 4}',
            BackendSpec("::1", 80, 2, 3, 4),
        ),
        ('{"host": "unix:/run/a.sock"}', BackendSpec("unix:/run/a.sock", 0)),
    ],
)
def test_a_value_is_a_line_or_an_object(value: str, spec: BackendSpec) -> None:
    assert parse_value(value.encode()) == spec


_JSON = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=4)
_OBJECT = st.dictionaries(st.sampled_from(["host", "port", "weight", "priority", "sni", "more"]), _JSON)


@given(
    st.binary()
    | _OBJECT.map(lambda entry: json.dumps(entry).encode())
    | st.text().map(lambda text: b"{" + text.encode())
)
def test_any_value_is_a_backend_or_a_value_error(value: bytes) -> None:
    try:
        spec = parse_value(value)
    except ValueError:
        return
    assert spec.address.encode()


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"etcd_endpoints": []}, ("etcd_endpoints",)),
        ({"etcd_endpoints": ["localhost:2379"]}, ("etcd_endpoints", 0)),
        ({"etcd_endpoints": ["http://a:1", "http://u:p@a:1"]}, ("etcd_endpoints", 1)),
        ({"etcd_endpoints": ["http://a:1/v3"]}, ("etcd_endpoints", 0)),
        ({"etcd_endpoints": ["http://a:99999"]}, ("etcd_endpoints", 0)),
        ({"etcd_prefix": ""}, ("etcd_prefix",)),
        ({"etcd_username": "a"}, ()),
        ({"etcd_password": "a"}, ()),
        ({"etcd_tls_cert_path": "/a"}, ()),
    ],
)
def test_a_wrong_option_is_an_error_of_the_config(options: dict[str, Any], where: tuple[str | int, ...]) -> None:
    with pytest.raises(ValidationError) as caught:
        EtcdOptions.model_validate({"etcd_endpoints": ["http://a:1"], "etcd_prefix": "/", **options})
    assert [error["loc"] for error in caught.value.errors()] == [where]
    assert "u:p@" not in str(caught.value.errors()[0]["msg"])
