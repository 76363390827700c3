"""Consul's HTTP API: py-consul's surface over one aiohttp session, with several hosts in turn and bounded answers."""

import asyncio
import os
import ssl
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

import aiohttp

from discovery.consul.access import Access
from discovery.contract import MAX_ANSWER, DiscoveryError
from discovery.duration import format_duration, parse_duration
from discovery.registry import NotAvailableError

try:
    from consul import base  # type: ignore[import-untyped]
except ImportError as missing:
    raise NotAvailableError("Consul needs the Python package 'consul': pip install 'pygobetween[consul]'") from missing

UNABLE = frozenset({429, 500, 502, 503, 504})
"""Statuses of a host that cannot answer now: too busy, without a leader, or a proxy with no Consul behind it."""
WAIT_JITTER = 17 / 16
"""Consul lengthens each `wait` by up to a sixteenth, so that those who wait do not all come back at once."""
KEEPALIVE = 300.0
"""Seconds that an idle connection is kept for the next read."""

Params = Sequence[tuple[str, Any]]


class NoAnswerError(DiscoveryError):
    """No host answered; the message has the reason of each."""


class RefusedError(DiscoveryError):
    """A host answered that it will not: 403 for a bad token, 401, 400, a redirect, ..."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class _UnableError(Exception):
    """This host has an answer, but not the one asked for; another may have it."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What Consul answered: status 200, or 404 for a key that is not there."""

    host: str
    status: int
    index: int | None
    """X-Consul-Index, for blocking queries."""
    filtered: bool
    """Consul says that ACLs hide a part (X-Consul-Results-Filtered-By-ACLs); versions before 1.11 never say so."""
    text: str


class Consul(base.Consul):  # type: ignore[misc]
    """py-consul's API; its calls are awaited and give a Reply that is not decoded: `await client.kv.get("key")`.

    A call with `index` and `wait` blocks; it goes to the host that answered last and to no other when that fails. All
    others go from host to host until one answers. Each raises NoAnswerError, RefusedError, or DiscoveryError for an
    answer that is too large or no text, and for files of certificates or a token that are no good.
    """

    def __init__(self, access: Access) -> None:
        self.access = access
        # What is not given here comes from the environment. The hosts are HTTPClient's.
        super().__init__("127.0.0.1", 8500, scheme="http", verify=True, dc=access.datacenter or None)
        self.token = None  # py-consul lets CONSUL_HTTP_TOKEN win over the argument; HTTPClient sends ours

    def http_connect(self, *_address: Any, **_tls: Any) -> "HTTPClient":
        """Called by py-consul."""
        return HTTPClient(self.access)

    async def close(self) -> None:
        """Ends all connections."""
        await self.http.close()


class HTTPClient(base.HTTPClient):  # type: ignore[misc]
    """Sends py-consul's requests. Its callbacks are left aside: they decode an answer in one piece."""

    def __init__(self, access: Access) -> None:
        super().__init__(scheme="https" if access.tls else "http")
        self._access = access
        self._hosts = list(access.hosts)  # the one that answered last comes first
        # A little less than the share of each, so that the error that names the host comes before the fetch's timeout.
        self._patience = 0.9 * access.timeout / len(access.hosts) or None
        self._session: aiohttp.ClientSession | None = None
        self._tls: ssl.SSLContext | None = None

    async def get(self, _cb: Any, path: str, params: Params = (), headers: Any = None, **_: Any) -> Reply:
        """Called by py-consul's reads."""
        stale = [("stale", "1")] if self._access.stale else []
        return await self._ask("GET", path, [*(params or ()), *stale], headers)

    async def put(self, _cb: Any, path: str, params: Params = (), data: Any = "", headers: Any = None) -> Reply:
        """Called by py-consul's writes."""
        return await self._ask("PUT", path, params, headers, data)

    async def post(self, _cb: Any, path: str, params: Params = (), data: Any = "", headers: Any = None) -> Reply:
        """Called by py-consul's questions with a body."""
        return await self._ask("POST", path, params, headers, data)

    async def delete(self, _cb: Any, path: str, params: Params = (), data: Any = "", headers: Any = None) -> Reply:
        """Called by py-consul's deletions."""
        return await self._ask("DELETE", path, params, headers, data)

    async def close(self) -> None:
        """Ends the session and what is under way; the next request opens another."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _ask(self, method: str, path: str, params: Params, headers: Any, data: Any = None) -> Reply:
        """The Reply of the first host that gives one."""
        wait = parse_duration(dict(params or ()).get("wait", "0"))
        patience = wait * WAIT_JITTER + (self._patience or 10.0) if wait else self._patience
        target = f"{quote(path, safe='/:')}?{urlencode(params or ())}"
        headers = {**self._credentials(), **(headers or {})}
        failures = []
        for host in self._hosts[:1] if wait else tuple(self._hosts):
            try:
                async with asyncio.timeout(patience):
                    reply = await self._exchange(host, method, target, headers, data)
            except TimeoutError:
                failures.append(f"{host}: no answer within {format_duration(round(patience or 0, 1))}")
            except (_UnableError, aiohttp.ClientError, OSError) as error:
                failures.append(f"{host}: {_reason(error)}")
            else:
                self._hosts = [host, *(other for other in self._hosts if other != host)]
                return reply
            self._tls = None  # the files of the certificates may have been renewed
        raise NoAnswerError("; ".join(failures))

    async def _exchange(self, host: str, method: str, target: str, headers: Mapping[str, str], data: Any) -> Reply:
        """One request to one host. A redirect is not followed: the token is for this host alone."""
        url, tls = f"{self.scheme}://{host}{target}", await self._tls_context()
        asked = self._open().request(method, url, headers=headers, data=data, ssl=tls, allow_redirects=False)
        async with asked as response:
            if response.status not in (200, 404):
                body = await _read(response, 4096)
                said = _masked(" ".join(body.decode(errors="replace").split())[:200], headers)
                reason = f"HTTP status {response.status}" + (f": {said}" if said else "")
                if response.status in UNABLE:
                    raise _UnableError(reason)
                raise RefusedError(f"{host}: {reason}", response.status)
            body = await _read(response, MAX_ANSWER + 1)
            if len(body) > MAX_ANSWER:
                raise DiscoveryError(f"{host}: the answer is larger than {MAX_ANSWER // 2**20} MiB")
            try:
                text = body.decode()
            except UnicodeDecodeError:
                raise DiscoveryError(f"{host}: the answer is no text") from None
            index = response.headers.get("X-Consul-Index", "")
            filtered = response.headers.get("X-Consul-Results-Filtered-By-ACLs") == "true"
            return Reply(host, response.status, _number(index), filtered, text)

    def _credentials(self) -> dict[str, str]:
        access, headers = self._access, {}
        if access.username or access.password:
            pair = b64encode(f"{access.username}:{access.password}".encode()).decode()
            headers["Authorization"] = f"Basic {pair}"
        if token := access.current_token():
            headers["X-Consul-Token"] = token
        return headers

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE),
                timeout=aiohttp.ClientTimeout(total=None),
                cookie_jar=aiohttp.DummyCookieJar(),
                # A small compressed answer may be a large one: the bound would come too late.
                headers={"Accept-Encoding": "identity"},
                auto_decompress=False,
            )
        return self._session

    async def _tls_context(self) -> ssl.SSLContext | bool:
        if not self._access.tls:
            return True
        if self._tls is None:  # in a thread: loading the system's CAs takes tens of milliseconds
            self._tls = await asyncio.to_thread(self._access.tls_context)
        return self._tls


async def _read(response: aiohttp.ClientResponse, most: int) -> bytearray:
    """The body, or its first bytes where it is longer than that; the rest is not read."""
    body = bytearray()  # which grows little by little: joining megabytes at the end takes milliseconds
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) >= most:
            break
    del body[most:]
    return body


def _number(index: str) -> int | None:
    return int(index) if index.isascii() and index.isdecimal() and len(index) <= 20 else None


def _reason(error: Exception) -> str:
    """One line without the URL, which aiohttp repeats."""
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    if isinstance(inner, ConnectionError) and inner.errno:
        return os.strerror(inner.errno)  # asyncio's own text repeats the address
    return " ".join(str(inner).split())[:200] or type(inner).__name__


def _masked(text: str, secrets: Mapping[str, str]) -> str:
    """A server's words without the values that were sent to it."""
    for secret in secrets.values():
        for part in secret.split():
            text = text.replace(part, "***")
    return text
