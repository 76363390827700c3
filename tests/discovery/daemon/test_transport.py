"""The connection below an SDK: bounded, cut off when asked, deaf to the environment."""

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import requests
from aiohttp import web

from discovery.blocking import Blocking
from discovery.contract import MAX_ANSWER
from discovery.daemon.endpoint import Endpoint, root_cause
from discovery.daemon.transport import LARGEST_DECODED, TooLargeError, Transport
from discovery.tls import client_context
from tests.discovery.web import endless, serving
from tests.services.certificates import Authority
from tests.services.ports import free_port
from tests.services.process import LOOPBACK


def over(transport: Transport) -> requests.Session:
    session = requests.Session()
    transport.carry(session)
    return session


async def get(transport: Transport, path: str = "/") -> requests.Response:
    """One request in a thread, whose URL says nothing about where it goes."""
    response: requests.Response = await Blocking().call(over(transport).get, f"http://nowhere{path}")
    return response


async def test_everything_goes_to_the_unix_socket_over_one_connection(tmp_path: Path) -> None:
    async with serving(socket=tmp_path / "d.sock") as server:
        server.body = b'{"a": 1}'
        transport = Transport(Endpoint(str(tmp_path / "d.sock")))
        for _ in range(5):
            assert (await get(transport, "/x?y=z")).json() == {"a": 1}
        transport.cut()
        assert [request.path_qs for request in server.requests] == ["/x?y=z"] * 5
        assert len(server.connections) == 1


async def test_after_a_restart_of_the_server_the_next_request_connects_anew(tmp_path: Path) -> None:
    transport = Transport(Endpoint(str(tmp_path / "d.sock")))
    for _ in range(2):
        async with serving(socket=tmp_path / "d.sock"):
            assert (await get(transport)).text == "[]"
        with pytest.raises(requests.ConnectionError):
            await get(transport)


async def test_tls_is_by_the_context_whatever_the_session_and_the_environment_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority, other = Authority(tmp_path), tmp_path / "other"
    other.mkdir()
    stranger = Authority(other)
    server_side, client = _server_context(authority), authority.issue("client")
    server_side.verify_mode = ssl.CERT_REQUIRED
    for name in "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE":
        monkeypatch.setenv(name, str(stranger.ca))
    monkeypatch.setenv("HTTPS_PROXY", f"http://{LOOPBACK}:{free_port()}")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    (tmp_path / "netrc").write_text("machine nowhere login u password secret\n")
    async with serving(server_side) as server:
        endpoint = Endpoint(host=LOOPBACK, port=server.port, secure=True)
        files = str(client.certificate), str(client.key)
        transport = Transport(endpoint, client_context(ca=str(authority.ca), certificate=files[0], key=files[1]))
        assert (await get(transport)).text == "[]"
        assert "Authorization" not in server.requests[0].headers
        transport.cut()
        with pytest.raises(requests.exceptions.SSLError) as refused:
            await get(Transport(endpoint, client_context(ca=str(stranger.ca), certificate=files[0], key=files[1])))
        assert isinstance(root_cause(refused.value), ssl.SSLCertVerificationError)
        with pytest.raises(requests.ConnectionError):
            await get(Transport(endpoint, client_context(ca=str(authority.ca))))


async def test_a_redirect_is_refused(tmp_path: Path) -> None:
    async def away(_request: web.BaseRequest) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://elsewhere/"})

    async with serving(socket=tmp_path / "d.sock") as server:
        server.answer = away
        with pytest.raises(requests.TooManyRedirects):
            await get(Transport(Endpoint(str(tmp_path / "d.sock"))))
        assert len(server.requests) == 1


async def test_an_answer_has_at_most_8_mib(tmp_path: Path) -> None:
    async with serving(socket=tmp_path / "d.sock") as server:
        server.body = b"[1" + b" " * (MAX_ANSWER - 3) + b"]"
        transport = Transport(Endpoint(str(tmp_path / "d.sock")))
        assert list((await get(transport)).json()) == [1]
        server.body += b" "
        for answer in server.answer, endless:
            server.answer = answer
            with pytest.raises(TooLargeError, match="larger than 8 MiB"):
                await get(Transport(Endpoint(str(tmp_path / "d.sock"))))


@pytest.mark.parametrize("text", ["[]", " \n[1, [2], {}]"])
async def test_a_json_array_is_an_iterator(tmp_path: Path, text: str) -> None:
    async with serving(socket=tmp_path / "d.sock") as server:
        server.body = text.encode()
        items = (await get(Transport(Endpoint(str(tmp_path / "d.sock"))))).json()
        assert iter(items) is items
        assert list(items) == json.loads(text)


@pytest.mark.parametrize("text", ['{"a": [1]}', "null", "1"])
async def test_other_json_is_decoded_as_json_does(tmp_path: Path, text: str) -> None:
    async with serving(socket=tmp_path / "d.sock") as server:
        server.body = text.encode()
        assert (await get(Transport(Endpoint(str(tmp_path / "d.sock"))))).json() == json.loads(text)


@pytest.mark.parametrize(
    "body", [b"", b"x", b"\xff\xfe\x00", b'{"a":' * 100_000, b"1 2", b'{"a": [' + b"1," * LARGEST_DECODED + b"1]}"]
)
async def test_what_is_no_json_is_the_error_that_sdks_expect(tmp_path: Path, body: bytes) -> None:
    async with serving(socket=tmp_path / "d.sock") as server:
        server.body = body
        response = await get(Transport(Endpoint(str(tmp_path / "d.sock"))))
        with pytest.raises(requests.exceptions.JSONDecodeError):
            response.json()


def _server_context(authority: Authority) -> ssl.SSLContext:
    shown = authority.issue("server")
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=authority.ca)
    context.load_cert_chain(shown.certificate, shown.key)
    return context


class Dripping:
    """A TCP server that says `start` to who connects, and then `drop` again and again."""

    def __init__(self, start: bytes, drop: bytes) -> None:
        self._start, self._drop = start, drop
        self._tasks: list[asyncio.Task[None] | None] = []
        self.dropped = asyncio.Event()

    @contextlib.asynccontextmanager
    async def serving(self, context: ssl.SSLContext | None) -> AsyncIterator[int]:
        """Its port."""
        async with await asyncio.start_server(self._serve, LOOPBACK, 0, ssl=context) as server:
            yield server.sockets[0].getsockname()[1]
            await asyncio.gather(*filter(None, self._tasks))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.append(asyncio.current_task())
        writer.write(self._start)
        with contextlib.suppress(ConnectionError):
            await reader.read(65536)
            while not reader.at_eof():
                writer.write(self._drop)
                await writer.drain()
                self.dropped.set()
                await asyncio.sleep(0.005)
        writer.transport.abort()


@pytest.mark.parametrize(
    ("start", "drop"),
    [
        (b"", b""),
        (b"HTTP/1.1 ", b"2"),
        (b"HTTP/1.1 200 OK\r\nX: ", b"y"),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b" "),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
        (b"HTTP/1.0 200 OK\r\nConnection: close\r\n\r\n", b" "),
    ],
    ids=["silence", "status", "header", "100 Continue", "body", "chunks", "body until the end"],
)
@pytest.mark.parametrize("secure", [False, True], ids=["http", "handshake or https"])
async def test_cut_ends_what_waits_wherever_it_is(tmp_path: Path, start: bytes, drop: bytes, secure: bool) -> None:
    """A server that sends a byte now and then keeps every timeout of a socket from being reached."""
    authority, server = Authority(tmp_path), Dripping(start, drop)
    context = _server_context(authority) if secure and drop else None
    async with server.serving(context) as port:
        trusting = client_context(ca=str(authority.ca)) if secure else None
        transport = Transport(Endpoint(host=LOOPBACK, port=port, secure=secure), trusting)
        request = asyncio.create_task(get(transport))
        await server.dropped.wait()
        await asyncio.sleep(0.02)
        assert not request.done()
        transport.cut()
        with contextlib.suppress(OSError):  # mostly, but for http.client a header that stops is a good one
            await request
        with pytest.raises(requests.ConnectionError):
            await get(transport)
