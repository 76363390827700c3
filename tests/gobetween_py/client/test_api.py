"""One request and its answer, with a server of aiohttp's on the other side."""

import base64
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from gobetween_py.client import api as module
from gobetween_py.client.api import Access, Api, ApiError, authorization, secret


class Site:
    """Answers every request with `answer`, and keeps what was asked."""

    def __init__(self) -> None:
        self.asked: list[web.BaseRequest] = []
        self.answer = web.json_response({"fine": True})
        self.body = b""

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request)
        self.body = await request.read()
        return self.answer


@pytest.fixture
async def site() -> AsyncIterator[Site]:
    site = Site()
    runner = web.ServerRunner(web.Server(site.handle))
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0)
    await tcp.start()
    site.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield site
    await runner.cleanup()


async def ask(site: Site, *path: str, authorization: str = "", **more: Any) -> Any:
    async with Api(Access(site.address, authorization)) as api:
        return await api.ask("GET", *path, **more)


async def test_an_answer_is_what_its_json_says(site: Site):
    assert await ask(site, "servers") == {"fine": True}
    assert site.asked[0].path == "/servers"


async def test_names_in_a_path_are_quoted(site: Site):
    await ask(site, "servers", "a/b c?d#e%", "backends", "[::1]:80")
    assert site.asked[0].raw_path == "/servers/a%2Fb%20c%3Fd%23e%25/backends/%5B%3A%3A1%5D%3A80"


async def test_a_query_leaves_out_what_is_none(site: Site):
    await ask(site, "servers", "a b", "connections", client="10.0.0.0/8", backend=None)
    assert dict(site.asked[0].query) == {"client": "10.0.0.0/8"}
    assert site.asked[0].raw_path.startswith("/servers/a%20b/connections?")


async def test_a_body_is_sent_as_json(site: Site):
    await ask(site, "x", body={"state": "drain"})
    assert site.body == b'{"state": "drain"}'
    assert site.asked[0].content_type == "application/json"


async def test_a_path_before_the_api_is_kept(site: Site):
    site.address += "/behind/a/proxy/"
    await ask(site, "servers")
    assert site.asked[0].path == "/behind/a/proxy/servers"


async def test_a_refusal_comes_with_all_its_reasons(site: Site):
    problems = [
        {"path": "bind", "reason": "is required"},
        {
            "path": "balance",
            "reason": "is not allowed",
            "value": "'x'",
            "allowed": "weight",
            "hint": "did you mean 'y'?",
        },
    ]
    site.answer = web.json_response({"error": "2 things are wrong", "problems": problems}, status=422)
    with pytest.raises(ApiError) as refused:
        await ask(site)
    assert refused.value.status == 422
    assert str(refused.value).splitlines() == [
        "2 things are wrong",
        "bind: is required",
        "balance: 'x' is not allowed; allowed: weight; did you mean 'y'?",
    ]


async def test_another_status_may_be_an_answer_too(site: Site):
    site.answer = web.json_response({"ready": False}, status=503)
    assert await ask(site, "ready", also=503) == {"ready": False}
    site.answer = web.json_response({"ready": False}, status=503)
    with pytest.raises(ApiError):
        await ask(site, "ready")


async def test_credentials_are_not_carried_elsewhere(site: Site):
    """A redirect is not followed."""
    site.answer = web.Response(status=302, headers={"Location": f"{site.address}/elsewhere"})
    with pytest.raises(ApiError, match="HTTP 302"):
        await ask(site, authorization="Bearer a-token")
    assert len(site.asked) == 1


async def test_an_answer_without_end_is_not_held(site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "LARGEST", 1000)
    site.answer = web.Response(body=b"x" * 2000)
    with pytest.raises(ApiError, match="the answer is too large"):
        await ask(site)


async def test_a_server_that_hangs_up_is_told_in_a_line(site: Site, monkeypatch: pytest.MonkeyPatch):
    async def hang_up(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    monkeypatch.setattr(site, "handle", hang_up)
    runner = web.ServerRunner(web.Server(hang_up))
    await runner.setup()
    tcp = web.TCPSite(runner, "127.0.0.1", 0)
    await tcp.start()
    site.address = f"http://127.0.0.1:{runner.addresses[0][1]}"
    with pytest.raises(ApiError, match=r"^http://127.0.0.1:\d+: "):
        await ask(site)
    await runner.cleanup()


@pytest.mark.parametrize("address", ["", "localhost:8888", "ftp://a", "http://", "http://a?b", "unix:a", "http://a#b"])
def test_what_is_no_address_is_refused(address: str):
    with pytest.raises(ApiError, match="is no address of an API"):
        Access(address)


def test_credentials_in_an_address_are_refused_and_not_repeated():
    with pytest.raises(ApiError) as refused:
        Access("http://admin:hunter2@localhost")
    assert "hunter2" not in str(refused.value)


def test_a_login_and_its_password_make_a_header():
    scheme, _, value = authorization("ädmin", "p:w", None).partition(" ")
    assert scheme == "Basic"
    assert base64.b64decode(value).decode() == "ädmin:p:w"


def test_a_token_goes_first():
    assert authorization("admin", "pw", "a-token") == "Bearer a-token"
    assert authorization(None, None, None) == ""


@pytest.mark.parametrize(("login", "password"), [("admin", None), (None, "pw")])
def test_half_of_the_credentials_are_refused(login: str | None, password: str | None):
    with pytest.raises(ApiError, match="a login needs a password"):
        authorization(login, password, None)


def test_a_secret_is_the_first_line_of_its_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "secret"
    file.write_text("of the file \nmore\n")
    monkeypatch.setenv("A_SECRET", "of the environment")
    assert secret(file, "A_SECRET") == "of the file "
    assert secret(None, "A_SECRET") == "of the environment"
    assert secret(None, "NO_SECRET") is None


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_secret_that_cannot_be_read_is_told(tmp_path: Path, content: bytes | None):
    file = tmp_path / "secret"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ApiError, match="cannot be read"):
        secret(file, "X")
