"""Who may use the API."""

from base64 import b64encode

import pytest
from pydantic import SecretStr

from gobetween_py.api.auth import Auth
from gobetween_py.config.models import Api, BasicAuth
from tests.gobetween_py.running import API, Running, server

TOKEN, OTHER = "0123456789abcdef", "fedcba9876543210"
CREDENTIALS = f'{API}bearer_tokens = ["{TOKEN}", "{OTHER}"]\n[api.basic_auth]\nlogin = "admin"\npassword = "sésame:1"\n'


def basic(text: str) -> str:
    return "Basic " + b64encode(text.encode()).decode()


GOOD = [
    basic("admin:sésame:1"),
    f"Bearer {TOKEN}",
    f"Bearer {OTHER}",
    f"bearer  {TOKEN}",
    basic("admin:sésame:1") + " ",
]
BAD = [
    "",
    "Basic",
    "Basic !!!",
    "Basic " + b64encode(b"\xff\xfe").decode(),
    basic("admin"),
    basic("admin:"),
    basic("admin:sésame"),
    basic("admin:sésame:1 "),
    basic("Admin:sésame:1"),
    basic(":sésame:1"),
    basic(TOKEN),
    "Bearer",
    "Bearer ",
    f"Bearer {TOKEN}0",
    f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN} {OTHER}",
    f"Token {TOKEN}",
    TOKEN,
    "Digest username=admin",
]


@pytest.mark.parametrize("header", GOOD)
async def test_right_credentials_are_let_in(header: str) -> None:
    async with Running(CREDENTIALS) as running:
        assert (await running.call("GET", "/servers", headers={"Authorization": header})).status == 200


@pytest.mark.parametrize("header", BAD)
async def test_wrong_and_missing_credentials_are_401_and_change_nothing(header: str) -> None:
    async with Running(CREDENTIALS + server("web")) as running:
        headers = {"Authorization": header} if header else {}
        for method, path in (("GET", "/servers"), ("GET", "/dump"), ("DELETE", "/servers/web"), ("POST", "/reload")):
            reply = await running.call(method, path, headers=headers)
            assert (reply.status, reply.body) == (401, {"error": "credentials are needed"})
            assert reply.headers["WWW-Authenticate"] == (
                'Basic realm="pygobetween", charset="UTF-8", Bearer realm="pygobetween"'
            )
        assert "web" in running.app.servers


async def test_credentials_come_before_anything_else_is_told() -> None:
    """Neither whether a server is there, nor what is wrong with a body or a query."""
    async with Running(CREDENTIALS) as running:
        for method, path, body in (
            ("GET", "/servers/none", None),
            ("GET", "/servers?x=1", None),
            ("POST", "/servers/a", b"{"),
        ):
            assert (await running.call(method, path, body)).status == 401


async def test_liveness_and_the_description_need_no_credentials() -> None:
    async with Running(CREDENTIALS) as running:
        assert (await running.get("/ping")) == "OK"
        for path in ("/ready", "/docs"):
            assert (await running.call("GET", path)).status == 200


async def test_whoever_has_no_credentials_is_not_told_which_server_is_not_ready() -> None:
    async with Running(CREDENTIALS + server("secret-project")) as running:
        reply = await running.call("GET", "/ready")
        assert (reply.status, reply.body) == (503, {"ready": False, "servers": {}})
        reply = await running.call("GET", "/ready", headers={"Authorization": GOOD[0]})
        assert reply.body == {"ready": False, "servers": {"secret-project": "has no live backend"}}


def test_without_credentials_in_the_config_everybody_is_let_in() -> None:
    assert not Auth(Api()).asked
    assert Auth(Api()).admits("")
    assert Auth(Api()).admits("Bearer anything")


def test_only_what_is_configured_is_asked_for() -> None:
    user = Auth(Api(basic_auth=BasicAuth(login="a", password=SecretStr("b"))))
    assert user.challenge == 'Basic realm="pygobetween", charset="UTF-8"'
    assert user.admits(basic("a:b"))
    assert not user.admits(f"Bearer {TOKEN}")
    token = Auth(Api(bearer_tokens=(SecretStr(TOKEN),)))
    assert token.challenge == 'Bearer realm="pygobetween"'
    assert not token.admits(basic(f":{TOKEN}"))
