"""A client of etcd's v3 JSON gateway: several endpoints, authentication, bounded answers, streams.

https://etcd.io/docs/v3.4/dev-guide/api_grpc_gateway/ has the paths and messages; int64 values are JSON strings there.
"""

import asyncio
import json
import re
import socket
from collections import deque
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from ssl import SSLContext
from typing import Any

import aiohttp

from discovery.contract import MAX_ANSWER, DiscoveryError

Message = dict[str, Any]

HEADERS = {
    "Content-Type": "application/json",
    "Accept-Encoding": "identity",
    "Grpc-Metadata-hasleader": "true",  # a member that lost its cluster ends a watch instead of keeping silent
}
KEEPALIVE = {socket.TCP_KEEPIDLE: 15, socket.TCP_KEEPINTVL: 5, socket.TCP_KEEPCNT: 3}
"""Seconds, seconds and number: a stream whose peer is gone without a word ends after half a minute."""

LARGEST_DECODED = 512 * 1024
"""Bytes of an answer that are decoded in one piece: 5 ms, in which nothing is relayed."""

_STALE_TOKEN = re.compile("invalid auth token|auth store is old")


class RefusedError(DiscoveryError):
    """An endpoint answered with an error."""

    def __init__(self, endpoint: str, status: int, reason: str) -> None:
        super().__init__(f"{endpoint} answered {status}: {reason}")
        self.stale_token = status == 401 or bool(_STALE_TOKEN.search(reason))


class TooLargeError(DiscoveryError):
    """An answer is larger than LARGEST_DECODED."""


class Gateway:
    """Calls one endpoint as long as it works, then the next.

    Args:
        endpoints: base URLs without a slash at the end.
        password: of `username`; "" for both = no authentication.
        tls: makes the context for https, anew after each failure, so that renewed certificate files are read.
        timeout: seconds that a round of all endpoints may take; None = no limit.
    """

    def __init__(
        self,
        endpoints: Sequence[str],
        *,
        username: str = "",
        password: str = "",
        tls: Callable[[], SSLContext],
        timeout: float | None = None,
    ) -> None:
        self._endpoints = deque(endpoints)
        self._credentials = {"name": username, "password": password} if username else None
        self._tls = tls
        self._patience = timeout / len(endpoints) if timeout else None
        self._token = ""
        self._session: aiohttp.ClientSession | None = None

    async def call(self, path: str, body: Message) -> tuple[Message, int]:
        """The answer to a POST, and its size in bytes.

        Raises DiscoveryError when every endpoint failed, TooLargeError for more than LARGEST_DECODED bytes.
        """
        failures = []
        for _ in range(len(self._endpoints)):
            try:
                async with asyncio.timeout(self._patience):
                    return await self._call_first(path, body)
            except TooLargeError:
                raise
            except DiscoveryError as error:
                failures.append(str(error))
            except TimeoutError:
                failures.append(f"{self._endpoints[0]} does not answer")
            self._endpoints.rotate(-1)
        await self.close()
        raise DiscoveryError("; ".join(failures))

    async def stream(self, path: str, body: Message) -> AsyncGenerator[Message | None, None]:
        """The messages of a POST that is answered without an end, by the endpoint that the last call went to.

        None is one of more than LARGEST_DECODED bytes. Raises DiscoveryError when it breaks.
        """
        endpoint = self._endpoints[0]
        response = None
        try:
            async with asyncio.timeout(self._patience):
                response = await self._post(endpoint, path, body)
            _keep_alive(response)
            lines = _Lines(endpoint, MAX_ANSWER)
            async for chunk in response.content.iter_any():
                for line in lines.feed(chunk):
                    yield _message(endpoint, response.status, line) if len(line) <= LARGEST_DECODED else None
        except TimeoutError:
            raise DiscoveryError(f"{endpoint} does not answer") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(endpoint, error) from error
        finally:
            if response is not None:
                response.close()

    async def close(self) -> None:
        """Ends the session and its connections; a later call makes another."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _call_first(self, path: str, body: Message) -> tuple[Message, int]:
        """With a token, where one is needed; with a new one, if the one at hand has expired."""
        if self._credentials and not self._token:
            await self._authenticate()
        try:
            return await self._exchange(path, body)
        except RefusedError as error:
            if not (self._credentials and error.stale_token):
                raise
        await self._authenticate()
        return await self._exchange(path, body)

    async def _authenticate(self) -> None:
        self._token = ""
        answer, _ = await self._exchange("/v3/auth/authenticate", self._credentials or {})
        self._token = str(answer.get("token", ""))

    async def _exchange(self, path: str, body: Message) -> tuple[Message, int]:
        endpoint = self._endpoints[0]
        try:
            async with await self._post(endpoint, path, body) as response:
                lines = _Lines(endpoint, LARGEST_DECODED)
                async for chunk in response.content.iter_any():
                    for line in lines.feed(chunk):
                        raise DiscoveryError(f"{endpoint} gave more than one answer: {line[:60]!r}")
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(endpoint, error) from error
        return _message(endpoint, response.status, lines.rest), len(lines.rest)

    async def _post(self, endpoint: str, path: str, body: Message) -> aiohttp.ClientResponse:
        session = self._session or await self._open()
        headers = {"Authorization": self._token} if self._token else {}
        return await session.post(endpoint + path, data=json.dumps(body), headers=headers, allow_redirects=False)

    async def _open(self) -> aiohttp.ClientSession:
        secure = any(endpoint.startswith("https:") for endpoint in self._endpoints)
        # In a thread: reading the system's CAs takes 20 ms.
        context = await asyncio.to_thread(self._tls) if secure else True
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context),
                headers=HEADERS,
                cookie_jar=aiohttp.DummyCookieJar(),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the callers have the deadlines
                auto_decompress=False,
                trust_env=False,
            )
        return self._session


class _Lines:
    """Puts the lines of a body together; none may be longer than `most` bytes."""

    def __init__(self, endpoint: str, most: int) -> None:
        self._endpoint = endpoint
        self._most = most
        self.rest = bytearray()
        """What came after the last line end."""

    def feed(self, chunk: bytes) -> Iterator[bytes]:
        """The lines that end in this chunk, without empty ones. Raises DiscoveryError."""
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line = bytes(self.rest + end).strip()
            self.rest.clear()
            if line:
                yield line
        self.rest += rest
        if len(self.rest) > self._most:
            raise TooLargeError(f"{self._endpoint} answered more than {self._most / 2**20:g} MiB")


def _message(endpoint: str, status: int, text: bytes | bytearray) -> Message:
    """The JSON object of a line. Raises DiscoveryError for anything else, and for errors that etcd reports."""
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        message = None
    if not isinstance(message, dict):
        raise RefusedError(endpoint, status, f"no JSON object: {bytes(text[:60])!r}")
    if "error" in message or status != 200:
        error = message.get("error")
        raise RefusedError(endpoint, status, ascii(error.get("message") if isinstance(error, dict) else error)[:200])
    return message


def _broken(endpoint: str, error: Exception) -> DiscoveryError:
    if isinstance(error, aiohttp.ClientPayloadError):
        return DiscoveryError(f"{endpoint} broke off its answer")
    if isinstance(error, aiohttp.ClientConnectorError) and not isinstance(error, aiohttp.ClientSSLError):
        error = error.os_error
    return DiscoveryError(f"{endpoint}: {str(error) or type(error).__name__}")


def _keep_alive(response: aiohttp.ClientResponse) -> None:
    transport = response.connection.transport if response.connection else None
    if transport is not None and (stream := transport.get_extra_info("socket")) is not None:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            stream.setsockopt(socket.IPPROTO_TCP, option, value)
