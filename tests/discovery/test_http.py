"""How json and plaintext ask: seen with json."""

import asyncio
import base64
import gzip
import resource
from collections.abc import AsyncIterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.contract import MAX_ANSWER, DiscoveryError
from discovery.http_client import Endpoint, parse_endpoint
from discovery.json import Json, JsonOptions
from tests.discovery.web import Web, endless, serving
from tests.services.ports import free_port

BODY = b'[{"host": "a", "port": 80}]'
SPECS = [BackendSpec("a", 80)]


def make(endpoint: str, **options: Any) -> Json:
    return Json(JsonOptions.model_validate({"kind": "json", "json_endpoint": endpoint, **options}))


@pytest.fixture
async def server() -> AsyncIterator[Web]:
    async with serving() as server:
        server.body = BODY
        yield server


@pytest.mark.parametrize(
    ("text", "endpoint", "shown"),
    [
        ("http://h", Endpoint("http://h/"), "http://h/"),
        ("https://h:8443/a?token=s#x", Endpoint("https://h:8443/a?token=s"), "https://h:8443/a"),
        ("http://u:p%40@[::1]:80/", Endpoint("http://[::1]:80/", username="u", password="p@"), "http://[::1]:80/"),
        ("unix:/run/a.sock", Endpoint("http://localhost/", socket="/run/a.sock"), "unix:/run/a.sock:/"),
        ("unix:///run/a.sock:/b?c=d", Endpoint("http://localhost/b?c=d", socket="/run/a.sock"), "unix:/run/a.sock:/b"),
    ],
)
def test_an_endpoint_is_a_url_or_a_unix_socket(text: str, endpoint: Endpoint, shown: str) -> None:
    assert parse_endpoint(text) == endpoint
    assert endpoint.shown == shown
    assert "p@" not in repr(endpoint)


@pytest.mark.parametrize(
    "text", ["", "localhost", "ftp://h/", "http://", "http:///x", "http://h:99999/", "http://h h/", "unix:a"]
)
def test_other_endpoints_are_errors_of_the_config(text: str) -> None:
    with pytest.raises(ValidationError, match="json_endpoint"):
        make(text)


@pytest.mark.parametrize("headers", [{"X Y": "a"}, {"": "a"}, {"X": "a\nB: c"}, {"X": "\u20ac"}])
def test_headers_that_none_can_be_are_errors_of_the_config(headers: dict[str, str]) -> None:
    with pytest.raises(ValidationError, match="json_headers"):
        make("http://h/", json_headers=headers)


def test_a_certificate_without_its_key_is_an_error_of_the_config() -> None:
    with pytest.raises(ValidationError, match="json_tls_cert_path and json_tls_key_path go together"):
        make("https://h/", json_tls_cert_path="/c.pem")


async def test_one_connection_serves_all_fetches(server: Web) -> None:
    discovery = make(server.url)
    for _ in range(5):
        assert await discovery.fetch() == SPECS
    assert len(server.requests) == 5
    assert len(server.connections) == 1
    await discovery.close()


async def test_sends_headers_and_a_password_that_no_message_shows(server: Web) -> None:
    options = {"json_auth_username": "u", "json_auth_password": "s3cret", "json_headers": {"X-Token": "t0ken"}}
    discovery = make(server.url + "?t=t0ken", **options)
    await discovery.fetch()
    sent = server.requests[0].headers
    assert base64.b64decode(sent["Authorization"].removeprefix("Basic ")) == b"u:s3cret"
    assert sent["X-Token"] == "t0ken"
    shown = repr(discovery.options) + str(discovery.options)
    server.answer = _status(401)
    with pytest.raises(DiscoveryError) as raised:
        await discovery.fetch()
    shown += str(raised.value)
    assert str(raised.value) == f"{server.url} answered 401 Unauthorized"
    assert "s3cret" not in shown
    await discovery.close()


async def test_a_password_may_stand_in_the_url(server: Web) -> None:
    discovery = make(server.url.replace("//", "//u:p@"))
    await discovery.fetch()
    assert server.requests[0].headers["Authorization"] == "Basic " + base64.b64encode(b"u:p").decode()
    await discovery.close()


def _status(status: int) -> Any:
    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=status, body=BODY)

    return answer


@pytest.mark.parametrize("status", [201, 204, 304, 400, 401, 403, 404, 500, 503])
async def test_any_status_but_200_is_a_failure(server: Web, status: int) -> None:
    server.answer = _status(status)
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match=rf"^{server.url} answered {status} "):
        await discovery.fetch()
    await discovery.close()


async def test_redirects_are_followed(server: Web) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.path == "/":
            raise web.HTTPFound("/moved")
        return web.Response(body=BODY)

    server.answer = answer
    discovery = make(server.url)
    assert await discovery.fetch() == SPECS
    await discovery.close()


async def test_redirects_in_a_circle_are_a_failure(server: Web) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        raise web.HTTPFound("/?secret=x")

    server.answer = answer
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match=r": 10 redirects, and no end of them$") as raised:
        await discovery.fetch()
    assert "secret" not in str(raised.value)
    await discovery.close()


async def test_a_redirect_to_what_is_no_host_is_a_failure_in_a_line(server: Web) -> None:
    async def answer(_request: web.BaseRequest) -> web.Response:
        raise web.HTTPFound("http://a..b/")

    server.answer = answer
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match=r"^http://127\.0\.0\.1:[0-9]+/: "):
        await discovery.fetch()
    await discovery.close()


async def test_an_unchanged_answer_is_not_sent_again(server: Web) -> None:
    async def answer(request: web.BaseRequest) -> web.Response:
        if request.headers.get("If-None-Match") == '"1"':
            return web.Response(status=304)
        return web.Response(body=b'[{"host": "a", "port": 80}, {}]', headers={"ETag": '"1"'})

    server.answer = answer
    discovery = make(server.url)
    assert await discovery.fetch() == SPECS
    assert await discovery.fetch() == SPECS
    assert [request.headers.get("If-None-Match") for request in server.requests] == [None, '"1"']
    await discovery.close()


@pytest.mark.parametrize(
    ("age", "asked"), [(1, True), (0, False), (-9, False)], ids=["a second ago", "in this second", "in the future"]
)
async def test_what_changed_in_this_second_may_change_again_unseen(server: Web, age: int, asked: bool) -> None:
    """nginx's ETag is made of the second of the last change and the size: another list may bear the same."""
    now, then = (formatdate(1_800_000_000 - seconds, usegmt=True) for seconds in (0, age))
    server.headers = {"ETag": '"1"', "Date": now, "Last-Modified": then}
    discovery = make(server.url)
    for _ in range(2):
        assert await discovery.fetch() == SPECS
    again = server.requests[1].headers
    assert ("If-None-Match" in again, "If-Modified-Since" in again) == (asked, asked)
    await discovery.close()


async def test_dates_that_are_none_say_nothing(server: Web) -> None:
    server.headers = {"ETag": '"1"', "Date": "yesterday", "Last-Modified": "Sat, 01 Jan 2022 00:00:00"}
    discovery = make(server.url)
    for _ in range(2):
        assert await discovery.fetch() == SPECS
    assert "If-None-Match" in server.requests[1].headers
    await discovery.close()


async def test_an_answer_that_could_not_be_read_is_asked_for_again(server: Web) -> None:
    """Its ETag must not be sent: "unchanged" would then mean the answer before."""
    server.headers, server.body = {"ETag": '"1"'}, b"["
    discovery = make(server.url)
    with pytest.raises(DiscoveryError):
        await discovery.fetch()
    server.body = BODY
    assert await discovery.fetch() == SPECS
    assert "If-None-Match" not in server.requests[1].headers
    await discovery.close()


async def test_a_gigabyte_is_not_read(server: Web) -> None:
    """The peak of memory grows by a few answers at most, the server's own buffers in the same process included."""
    server.answer = endless
    discovery = make(server.url)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for _ in range(3):
        with pytest.raises(DiscoveryError, match=r"answered more than 8 MiB$"):
            await discovery.fetch()
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"three answers of a gigabyte: peak memory +{grown >> 10} MiB")
    assert grown < 10 * MAX_ANSWER >> 10
    await discovery.close()


async def test_a_length_beyond_the_bound_is_not_even_begun(server: Web) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": str(1 << 30)})
        await response.prepare(request)
        await server.over.wait()
        return response

    server.answer = answer
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match="more than 8 MiB"):
        await discovery.fetch()
    await discovery.close()


async def test_a_compressed_answer_is_refused(server: Web) -> None:
    """Nobody asked for it, and a few bytes of it may unfold to gigabytes."""
    server.body, server.headers = gzip.compress(BODY), {"Content-Encoding": "gzip"}
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match="in the encoding 'gzip', which was not asked for"):
        await discovery.fetch()
    await discovery.close()


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (bytes(range(256)), r"is no UTF-8 text \(byte 128 is 0x80\)"),
        (b"\0\0\0", "expected an array at character 0"),
        (b"", "expected an array at character 0, found the end"),
        (b"[" * 1_000_000, "nested too deeply"),
    ],
)
async def test_what_is_no_answer_is_a_failure_that_names_the_endpoint(server: Web, body: bytes, problem: str) -> None:
    server.body = body
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match=f"^{server.url}: .*{problem}"):
        await discovery.fetch()
    await discovery.close()


async def test_a_byte_order_mark_is_passed_over(server: Web) -> None:
    server.body = b"\xef\xbb\xbf" + BODY
    discovery = make(server.url)
    assert await discovery.fetch() == SPECS
    await discovery.close()


async def test_a_cut_answer_is_a_failure(server: Web) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "100"})
        await response.prepare(request)
        await response.write(BODY)
        assert request.transport
        request.transport.abort()
        return response

    server.answer = answer
    discovery = make(server.url)
    with pytest.raises(DiscoveryError, match=f"^{server.url}: "):
        await discovery.fetch()
    await discovery.close()


async def test_after_a_cancelled_fetch_the_next_one_works(server: Web) -> None:
    server.answer = server.silent
    discovery = make(server.url)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await discovery.fetch()
    server.answer = server._answer
    assert await discovery.fetch() == SPECS
    await discovery.close()


async def test_a_refused_connection_says_so() -> None:
    port = free_port()
    discovery = make(f"http://u:p@127.0.0.1:{port}/?token=s")
    with pytest.raises(DiscoveryError) as raised:
        await discovery.fetch()
    assert str(raised.value) == f"http://127.0.0.1:{port}/: cannot connect: Connection refused"
    await discovery.close()


async def test_tls_to_a_server_without_it_says_so(server: Web) -> None:
    discovery = make(server.url.replace("http:", "https:"))
    with pytest.raises(DiscoveryError, match=r"^https://127\.0\.0\.1:\d+/: no TLS connection: "):
        await discovery.fetch()
    await discovery.close()


async def test_a_unix_socket_is_asked(tmp_path: Path) -> None:
    async with serving(socket=tmp_path / "s") as server:
        server.body = BODY
        discovery = make(f"unix:{tmp_path}/s:/backends?x=1")
        assert await discovery.fetch() == SPECS
        assert server.requests[0].path_qs == "/backends?x=1"
        await discovery.close()


async def test_proxies_of_the_environment_are_not_used(server: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    discovery = make(server.url)
    assert await discovery.fetch() == SPECS
    await discovery.close()
