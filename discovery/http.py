"""Discoveries that ask an HTTP endpoint again and again: `json` and `plaintext`.

One session each, its connection kept between fetches. Proxies and passwords of the environment are not used: the
config says all. An answer that the server calls unchanged (ETag, Last-Modified) is the one before.
"""

import base64
import os
import re
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import aiohttp
from pydantic import AfterValidator, SecretStr, StrictStr, model_validator

from discovery.contract import MAX_ANSWER, Answer, Discovery, DiscoveryError, Options
from discovery.entry import unix_address
from discovery.tls import client_context

KEEPALIVE = 300.0
"""Seconds that an idle connection is kept for the next fetch, unless the server ends it before."""

_VALIDATORS = {"ETag": "If-None-Match", "Last-Modified": "If-Modified-Since"}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


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
        valid = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0 and text.isprintable()
    except ValueError:
        valid = False
    if not valid or " " in text:
        raise ValueError("is no address of this kind: write http://..., https://... or unix:/path/of/the.socket")
    userinfo, _, host = parts.netloc.rpartition("@")
    username, _, password = userinfo.partition(":")
    url = urlunsplit((parts.scheme, host, parts.path or "/", parts.query, ""))
    return Endpoint(url, username=unquote(username), password=unquote(password))


def _endpoint(text: str) -> str:
    parse_endpoint(text)
    return text


def _checked_headers(headers: dict[str, SecretStr]) -> dict[str, SecretStr]:
    for name, value in headers.items():
        if not _TOKEN.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if not re.fullmatch(r"[\t\x20-\x7e\x80-\xff]*", value.get_secret_value()):
            raise ValueError(f"the value of {name} holds a character that no header may hold")
    return headers


HttpEndpoint = Annotated[StrictStr, AfterValidator(_endpoint)]
HttpHeaders = Annotated[dict[str, SecretStr], AfterValidator(_checked_headers)]


class HttpOptions(Options):
    """Options of a kind that has these keys, each with the kind's name before it:

    `_endpoint`; `_headers`, sent with each request; `_auth_username` and `_auth_password`, for basic authentication;
    `_tls_cacert_path`, beside which no other CA is trusted; `_tls_cert_path` and `_tls_key_path`, of the client;
    `_tls_ignore_verify`.
    """

    def http(self, key: str) -> Any:
        """The value of such a key."""
        return getattr(self, f"{self.kind}_{key}")

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if bool(self.http("tls_cert_path")) != bool(self.http("tls_key_path")):
            raise ValueError(
                f"{self.kind}_tls_cert_path and {self.kind}_tls_key_path go together: one of them is missing"
            )
        return self


class HttpDiscovery(Discovery):
    """Fetches one document and leaves reading it to the kind."""

    def __init__(self, options: HttpOptions) -> None:
        super().__init__(options)
        self._http = options.http
        self._endpoint = parse_endpoint(options.http("endpoint"))
        self.source = self._endpoint.shown
        self._session: aiohttp.ClientSession | None = None
        self._validators: dict[str, str] = {}
        self._answer: Answer = ()

    @abstractmethod
    async def parse(self, text: str) -> Answer:
        """The backends of a document; bad entries go to `self.skipped`. Raises DiscoveryError."""

    async def fetch(self) -> Answer:
        try:
            body, validators = await self._get()
        except (aiohttp.ClientError, OSError) as error:
            await self.close()  # the next session reads the certificate files again
            raise DiscoveryError(f"{self.source}: {_reason(error)}") from error
        if body is None:
            self.skipped.unchanged()
            return self._answer
        try:
            self._answer = await self.parse(body.decode("utf-8-sig"))
        except (DiscoveryError, ValueError, RecursionError) as error:
            raise DiscoveryError(f"{self.source}: {_flaw(error)}") from error
        self._validators = validators
        return self._answer

    async def close(self) -> None:
        """Ends the session; a later fetch makes another."""
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

    async def _get(self) -> tuple[bytes | None, dict[str, str]]:
        """The body (None: unchanged), and the headers that ask next time whether it changed."""
        if self._session is None:
            self._session = self._open()
        async with self._session.get(self._endpoint.url, headers=self._validators) as response:
            if response.status == 304 and self._validators:
                return None, {}
            if response.status != 200:
                raise DiscoveryError(f"{self.source} answered {response.status} {response.reason}")
            body = await _read(response, self.source)
            return body, _validators(response.headers)

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=self._connector(),
            headers=self._headers(),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=None),  # the loop has the deadline
            auto_decompress=False,
            trust_env=False,
        )

    def _connector(self) -> aiohttp.BaseConnector:
        if self._endpoint.socket:
            return aiohttp.UnixConnector(self._endpoint.socket, keepalive_timeout=KEEPALIVE)
        context = client_context(
            ca=self._http("tls_cacert_path"),
            certificate=self._http("tls_cert_path"),
            key=self._http("tls_key_path"),
            verify=not self._http("tls_ignore_verify"),
        )
        return aiohttp.TCPConnector(ssl=context, keepalive_timeout=KEEPALIVE)

    def _headers(self) -> dict[str, str]:
        """Those of every request; the config's own come last, so they count."""
        headers = {"User-Agent": "pygobetween", "Accept-Encoding": "identity"}
        username = self._http("auth_username") or self._endpoint.username
        password = self._http("auth_password").get_secret_value() or self._endpoint.password
        if username or password:
            token = base64.b64encode(f"{username}:{password}".encode()).decode()
            headers["Authorization"] = f"Basic {token}"
        return headers | {name: value.get_secret_value() for name, value in self._http("headers").items()}


async def _read(response: aiohttp.ClientResponse, shown: str) -> bytes:
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
            return bytes(body)
    response.close()
    raise DiscoveryError(f"{shown} answered more than {MAX_ANSWER >> 20} MiB")


def _validators(headers: Mapping[str, str]) -> dict[str, str]:
    return {asks: headers[told] for told, asks in _VALIDATORS.items() if told in headers}


def _flaw(error: Exception) -> str:
    if isinstance(error, RecursionError):
        return "the answer is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"the answer is no UTF-8 text (byte {error.start} is 0x{error.object[error.start]:02x})"
    return str(error)


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
    if isinstance(error, aiohttp.ClientResponseError):
        return f"{type(error).__name__}: {error.status} {error.message}"
    if isinstance(error, aiohttp.ClientConnectionError | aiohttp.ClientPayloadError | OSError):
        return str(error) or type(error).__name__
    return type(error).__name__
