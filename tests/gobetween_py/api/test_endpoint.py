"""What all routes have in common: errors as JSON, CORS, other origins, headers, certificates."""

import asyncio
import logging
import ssl
from pathlib import Path

import pytest

from gobetween_py.api import root
from gobetween_py.api.endpoint import Endpoint
from gobetween_py.app import App
from gobetween_py.config import load
from gobetween_py.web import CertificateError
from tests.gobetween_py.running import API, PATIENCE, Running, server

ELSEWHERE = {"Origin": "https://evil.example"}


async def test_a_path_that_is_not_there_is_404_in_json() -> None:
    async with Running(API) as running:
        for path in ("/nothing", "/servers/", "//", "/servers/a/b/c", "/metrics"):
            reply = await running.call("GET", path)
            assert (reply.status, reply.body) == (404, {"error": f"there is no path {path!r}"})


async def test_a_method_that_is_not_there_is_405_and_the_others_are_named() -> None:
    async with Running(API) as running:
        reply = await running.call("PATCH", "/servers/web")
        allowed = "DELETE, GET, HEAD, POST, PUT"
        assert (reply.status, reply.body) == (405, {"error": f"not with PATCH, but {allowed}"})
        assert reply.headers["Allow"] == allowed


async def test_head_is_answered_as_get_without_a_body() -> None:
    async with Running(API + server("web")) as running:
        for path in ("/ping", "/ready", "/servers", "/servers/web/backends", "/servers/no", "/dump?format=x"):
            get, head = await running.call("GET", path), await running.call("HEAD", path)
            assert (head.status, head.headers["Content-Type"]) == (get.status, get.headers["Content-Type"])
        assert await running.get("/ping") == "OK"
        assert (await running.call("HEAD", "/reload")).status == 200
        assert (await running.get("/reload"))["latest"] == []


async def test_an_unknown_key_of_a_query_is_told() -> None:
    async with Running(API) as running:
        reply = await running.call("GET", "/dump?fromat=json")
        assert (reply.status, reply.body["problems"]) == (
            400,
            [{"path": "fromat", "reason": "unknown key", "hint": "did you mean 'format'?"}],
        )
        assert (await running.call("GET", "/dump?format=yaml")).status == 400
        assert (await running.call("GET", "/ping?x")).status == 400


async def test_a_defect_is_500_without_details_and_with_a_trace_in_the_log(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("secret detail")

    async with Running(API) as running:
        monkeypatch.setattr(root, "plain", broken)
        reply = await running.call("GET", "/dump")
        assert (reply.status, reply.body) == (500, {"error": "a defect was met; the log tells more"})
        assert await running.get("/ping") == "OK"
    [record] = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert record.getMessage() == "defect in GET /dump"
    assert record.exc_info


async def test_changes_are_logged_with_who_made_them(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pygobetween.api")
    async with Running(API + server("web")) as running:
        await running.get("/servers")
        await running.call("DELETE", "/servers/web")
    assert [record.getMessage().partition(": ")[2] for record in caplog.records if "api" in record.name] == [
        "DELETE /servers/web"
    ]


async def test_what_is_set_about_a_backend_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "pygobetween")
    async with Running(API + server("web", "127.0.0.1:1")) as running:
        for change in ({"state": "drain", "weight": 2}, {"state": None, "weight": None}):
            await running.call("PATCH", "/servers/web/backends/127.0.0.1:1", change)
    assert [message for message in caplog.messages if "by hand" in message] == [
        "web: changed by hand: backend 127.0.0.1:1 manual=False weight=2 state=drain",
        "web: changed by hand: backend 127.0.0.1:1: nothing is set any more",
    ]


async def test_a_page_of_another_origin_may_not_change_anything() -> None:
    """A browser sends such a request with the credentials that it has, whatever CORS says."""
    async with Running(API + server("web")) as running:
        reply = await running.call("DELETE", "/servers/web", headers=ELSEWHERE)
        assert reply.status == 403
        assert "web" in running.app.servers
        assert not any(name.startswith("Access-Control") for name in reply.headers)
        own = {"Origin": f"http://127.0.0.1:{running.port}"}
        assert (await running.call("DELETE", "/servers/web", headers=own)).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8888", "localhost.evil.example", "[evil]", "a@localhost@b"]
)
async def test_a_name_that_was_made_to_lead_here_is_another_origin(host: str) -> None:
    """The browser takes its page for one of ours. With credentials it does not know them."""
    async with Running(API + server("web")) as running:
        page = {"Host": host, "Origin": f"http://{host}"}
        assert (await running.call("DELETE", "/servers/web", headers=page)).status == 403
        assert [*await running.get("/servers")] == ["web"]


@pytest.mark.parametrize("host", ["localhost", "localhost:8888", "127.0.0.1:8888", "[::1]:8888", "10.0.0.1"])
async def test_our_own_page_may_change_things(host: str) -> None:
    async with Running(API + server("web")) as running:
        page = {"Host": host, "Origin": f"http://{host}"}
        assert (await running.call("DELETE", "/servers/web", headers=page)).status == 200


async def test_where_credentials_are_asked_for_our_page_may_have_any_name() -> None:
    config = f'{API}bearer_tokens = ["a-token-of-some-length"]\n{server("web")}'
    page = {"Host": "lb.example", "Origin": "http://lb.example", "Authorization": "Bearer a-token-of-some-length"}
    async with Running(config) as running:
        assert (await running.call("DELETE", "/servers/web", headers=page)).status == 200


async def test_pages_of_other_origins_may_call_where_cors_is_on() -> None:
    config = API.replace("[api]", '[api]\ncors = true\nbearer_tokens = ["0123456789abcdef"]') + server("web")
    async with Running(config) as running:
        asked = {**ELSEWHERE, "Access-Control-Request-Method": "PUT"}
        preflight = await running.call("OPTIONS", "/servers/web", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["Access-Control-Allow-Origin"] == "*"
        assert "PUT" in preflight.headers["Access-Control-Allow-Methods"]
        assert "Authorization" in preflight.headers["Access-Control-Allow-Headers"]
        assert "Access-Control-Allow-Credentials" not in preflight.headers
        refused = await running.call("DELETE", "/servers/web", headers=ELSEWHERE)
        assert (refused.status, refused.headers["Access-Control-Allow-Origin"]) == (401, "*")
        headers = {**ELSEWHERE, "Authorization": "Bearer 0123456789abcdef"}
        assert (await running.call("DELETE", "/servers/web", headers=headers)).status == 200


async def test_without_cors_a_preflight_is_refused() -> None:
    async with Running(API) as running:
        asked = {**ELSEWHERE, "Access-Control-Request-Method": "PUT"}
        assert (await running.call("OPTIONS", "/servers/web", headers=asked)).status == 405


async def test_answers_are_not_kept_by_anybody_and_tell_nothing_of_what_runs() -> None:
    async with Running(API) as running:
        for path in ("/", "/servers", "/nothing"):
            headers = (await running.call("GET", path)).headers
            assert headers["Cache-Control"] == "no-store"
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Server"] == "pygobetween"


async def test_a_unix_socket_is_served_and_removed_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    async with Running(f'[api]\nenabled = true\nbind = "unix:{path}"\n'):
        reader, writer = await asyncio.open_unix_connection(str(path))
        writer.write(b"GET /ping HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).endswith(b"\r\n\r\nOK")
        writer.close()
    assert not path.exists()


async def test_a_certificate_that_cannot_be_used_is_told_with_its_section(tmp_path: Path) -> None:
    file = tmp_path / "nonsense.pem"
    file.write_text("nonsense")
    config = load(f'{API}[api.tls]\ncert_path = "{file}"\nkey_path = "{file}"\n')
    with pytest.raises(CertificateError, match=rf"^api\.tls\.cert_path: {file}: is no certificate in PEM"):
        Endpoint(App(config), config.api)
    assert issubclass(ssl.SSLError, OSError)
