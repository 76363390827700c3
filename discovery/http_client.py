"""A client that asks one HTTP endpoint for a text, again and again.

The connection is kept between requests. Proxies and passwords of the environment are not used: the endpoint says all.
"""

import asyncio
import base64
import os
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp

from discovery.contract import MAX_ANSWER, DiscoveryError
from discovery.entry import plain_host, unix_address

KEEPALIVE = 300.0
"""Seconds that an idle connection is kept for the next request, unless the server ends it before."""

_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask: of a config's text, see parse_endpoint."""

    url: str
    """Without user and password."""
    socket: str = ""
    """Path of the UNIX socket to connect to, instead of the URL's host."""
    username: str = ""
    password: str = field(default="", repr=False)

    @property
    def shown(self) -> str:
        """For messages: without the query, which may hold a token."""
        parts = urlsplit(self.url)
        return f"unix:{self.socket}:{parts.path}" if self.socket else f"{parts.scheme}://{parts.netloc}{parts.path}"


def parse_endpoint(text: str) -> Endpoint:
    """`http(s)://[user:password@]host[:port]/path`, or `unix:/path/of/the.socket[:/path/of/the/request]`.

    Raises ValueError, which does not repeat the text: it may hold a password.
    """
    if text.startswith("unix:"):
        path, _, request = text.removeprefix("unix:").removeprefix("//").partition(":")
        try:
            unix_address(f"unix:{path}")
        except ValueError as error:
            raise ValueError(str(error)) from None
        return Endpoint(f"http://localhost/{request.removeprefix('/')}", socket=path)
    try:
        parts = urlsplit(text)
        plain_host(parts.hostname or "")
        valid = parts.scheme in {"http", "https"} and parts.port != 0 and text.isprintable()
    except ValueError:
        valid = False
    if not valid or " " in text:
        raise ValueError("is no address of this kind: write http://..., https://... or unix:/path/of/the.socket")
    userinfo, _, host = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    url = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    return Endpoint(url, username=unquote(username), password=unquote(password))


class HttpClient:
    """Fetches the text; of one that the server calls unchanged (ETag, Last-Modified) only that.

    There is no deadline here: callers have one.

    Args:
        headers: sent with each request.
        username, password: for basic authentication; "" = those of the endpoint.
        tls: makes the context, in a thread; again for a new session after a failure: files may have been renewed.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        headers: Mapping[str, str],
        tls: Callable[[], ssl.SSLContext],
        username: str = "",
        password: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._headers = {"User-Agent": "pygobetween", "Accept-Encoding": "identity"}
        username, password = username or endpoint.username, password or endpoint.password
        if username or password:
            token = base64.b64encode(f"{username}:{password}".encode()).decode()
            self._headers["Authorization"] = f"Basic {token}"
        self._headers |= headers
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None
        self._known: dict[str, str] = {}
        self._latest: dict[str, str] = {}

    async def fetch(self) -> str | None:
        """The text; None: it is still the one that `know` was said of. Raises DiscoveryError."""
        shown = self._endpoint.shown
        try:
            body = await self._get()
        except (aiohttp.ClientError, OSError, UnicodeError) as error:
            await self.close()
            raise DiscoveryError(f"{shown}: {_reason(error)}") from error
        try:
            return None if body is None else body.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            flaw = f"the answer is no UTF-8 text (byte {error.start} is 0x{error.object[error.start]:02x})"
            raise DiscoveryError(f"{shown}: {flaw}") from error

    def know(self) -> None:
        """The text fetched last was taken: from now on it is enough to hear that it is unchanged."""
        self._known = self._latest

    async def close(self) -> None:
        """End the session; a later fetch makes another."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _get(self) -> bytearray | None:
        if self._session is None:
            self._session = await self._open()
        async with self._session.get(self._endpoint.url, headers=self._known) as response:
            if response.status == 304 and self._known:
                return None
            if response.status != 200:
                raise DiscoveryError(f"{self._endpoint.shown} answered {response.status} {response.reason}")
            body = await _read(response, self._endpoint.shown)
            self._latest = _validators(response.headers)
            return body

    async def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=await self._connector(),
            headers=self._headers,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),
            auto_decompress=False,
            trust_env=False,
        )

    async def _connector(self) -> aiohttp.BaseConnector:
        if self._endpoint.socket:
            return aiohttp.UnixConnector(self._endpoint.socket, keepalive_timeout=KEEPALIVE)
        context = await asyncio.to_thread(self._tls)  # for http too, which may redirect to https
        return aiohttp.TCPConnector(ssl=context, keepalive_timeout=KEEPALIVE)


async def _read(response: aiohttp.ClientResponse, shown: str) -> bytearray:
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise DiscoveryError(f"{shown} answered in the encoding {encoding[:40]!r}, which was not asked for")
    body = bytearray()
    if (response.content_length or 0) <= MAX_ANSWER:
        async for chunk in response.content.iter_any():
            body += chunk
            if len(body) > MAX_ANSWER:
                break
        else:
            return body
    response.close()
    raise DiscoveryError(f"{shown} answered more than {MAX_ANSWER >> 20} MiB")


def _validators(headers: Mapping[str, str]) -> dict[str, str]:
    """Headers that ask whether the text has changed since; none while it could change within the second it bears.

    RFC 9110, 8.8.2.2. That counts for the ETag too: nginx makes it of that second and the size.
    """
    try:
        date, modified = (parsedate_to_datetime(headers[name]) for name in ("Date", "Last-Modified"))
        if modified >= date:
            return {}
    except (KeyError, ValueError, TypeError):  # TypeError: one has a time zone, the other none
        pass
    return {asks: headers[told] for told, asks in _VALIDATORS.items() if told in headers}


def _reason(error: Exception) -> str:
    """What went wrong, without the URL, whose query may hold a token."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return (
            f"its certificate is refused: {getattr(error.certificate_error, 'verify_message', error.certificate_error)}"
        )
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"no TLS connection: {getattr(error.os_error, 'reason', None) or error.os_error}"
    if isinstance(error, aiohttp.ClientConnectorError):
        code = error.os_error.errno or 0  # getaddrinfo's are negative
        return f"cannot connect: {os.strerror(code) if code > 0 else error.os_error.strerror}"
    if isinstance(error, UnicodeError):  # of IDNA: a part of the host's name is empty or too long
        return "the host is no name"
    if isinstance(error, aiohttp.TooManyRedirects):
        return f"{len(error.history)} redirects, and no end of them"
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.status} {error.message}"
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return str(error) or type(error).__name__
    return type(error).__name__
