"""http-01 over real sockets: proofs while there are any, and everybody else on to https."""

import socket
from collections.abc import AsyncIterator

import aiohttp
import pytest

from gobetween_py.acme.challenges import Challenges
from gobetween_py.acme.endpoint import Endpoint
from gobetween_py.bind import BindError
from gobetween_py.config import Bind
from tests.gobetween_py.running import Running, server

CHALLENGE = "/.well-known/acme-challenge/"


@pytest.fixture
async def site() -> AsyncIterator[Endpoint]:
    endpoint = Endpoint(Bind("127.0.0.1", 0), Challenges())
    await endpoint.start()
    yield endpoint
    await endpoint.stop()


async def ask(site: Endpoint, path: str, host: str = "shop.test", method: str = "GET") -> tuple[int, str, str]:
    """Status, Location and body of an answer."""
    async with (
        aiohttp.ClientSession(trust_env=False) as session,
        session.request(
            method, f"http://127.0.0.1:{site.port}{path}", headers={"Host": host}, allow_redirects=False
        ) as answer,
    ):
        return answer.status, answer.headers.get("Location", ""), await answer.text()


async def test_a_token_is_answered_while_its_order_runs(site: Endpoint) -> None:
    challenges = site.challenges
    with challenges.over_http("token", "token.thumbprint"):
        assert await ask(site, f"{CHALLENGE}token") == (200, "", "token.thumbprint")
        assert (await ask(site, f"{CHALLENGE}other"))[0] == 404
    assert (await ask(site, f"{CHALLENGE}token"))[0] == 404


@pytest.mark.parametrize(
    ("host", "path", "location"),
    [
        ("shop.test", "/", "https://shop.test/"),
        ("shop.test:8080", "/a%20b?c=d&e", "https://shop.test/a%20b?c=d&e"),
        ("[::1]:80", "/x", "https://[::1]/x"),
    ],
)
async def test_everything_else_is_sent_on_to_https(site: Endpoint, host: str, path: str, location: str) -> None:
    assert (await ask(site, path, host))[:2] == (302, location)
    assert (await ask(site, path, host, "HEAD"))[:2] == (302, location)


async def test_what_cannot_be_sent_on_is_refused(site: Endpoint) -> None:
    """A browser would repeat a POST as a GET."""
    assert (await ask(site, "/", method="POST"))[0] == 405
    assert (await ask(site, "/", host=""))[0] == 400


async def test_an_address_that_is_taken_is_told_of_by_its_key() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        bind = f"127.0.0.1:{taken.getsockname()[1]}"
        acme = f'[acme]\nhttp_bind = "{bind}"\ncache_dir = "/nowhere"\n'
        with pytest.raises(BindError, match=rf"^acme\.http_bind: .*{bind}"):
            async with Running(acme + server("web", "127.0.0.1:1")):
                pass
