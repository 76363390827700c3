"""Speaking to the API of a balancer that runs."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import ssl
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from gobetween_py.client.command_line import LOGIN, PASSWORD, TOKEN

TIMEOUT = aiohttp.ClientTimeout(total=60, sock_connect=5)
LARGEST = 256 * 1024 * 1024
"""Bytes of an answer."""


class ApiError(Exception):
    """The API cannot be asked, or refuses. The message is for the user, without credentials.

    Args:
        status: of HTTP; 0 = there was no answer.
    """

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True)
class Access:
    """Where the API is, and who asks.

    Args:
        address: http://host:port, https://host:port or unix:/path.
        authorization: value of the header; "" = none is sent.
        ca, certificate, key: PEM files for https; None = the system's authorities, no certificate of our own.
    """

    address: str
    authorization: str = ""
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None

    def __post_init__(self) -> None:
        """Raises ApiError where the address has another form."""
        if self.address.startswith("unix:/"):
            return
        url = urlsplit(self.address)
        if "@" in url.netloc:
            raise ApiError(f"credentials do not belong into the address: set {LOGIN} and {PASSWORD}, or {TOKEN}")
        if url.scheme not in ("http", "https") or not url.hostname or url.query or url.fragment:
            raise ApiError(
                f"{self.address!r} is no address of an API: write http://host:port, https://... or unix:/path"
            )

    @property
    def tls(self) -> ssl.SSLContext | None:
        """For https. Raises ApiError when a file cannot be used."""
        if not self.address.startswith("https:"):
            return None
        try:
            context = ssl.create_default_context(cafile=self.ca)
            if self.certificate:
                context.load_cert_chain(self.certificate, self.key)
        except (OSError, ssl.SSLError) as error:
            raise ApiError(f"certificates cannot be used: {error}") from None
        return context


class Api:
    """A session with an API: `async with`."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._base = "http://localhost" if access.address.startswith("unix:") else access.address.rstrip("/")

    async def __aenter__(self) -> Self:
        access = self._access
        connector: aiohttp.BaseConnector
        if access.address.startswith("unix:"):
            connector = aiohttp.UnixConnector(access.address.removeprefix("unix:"))
        else:
            connector = aiohttp.TCPConnector(ssl=access.tls or True)
        headers = {"Authorization": access.authorization} if access.authorization else {}
        self._session = aiohttp.ClientSession(connector=connector, timeout=TIMEOUT, headers=headers)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def ask(self, method: str, *path: str, body: object = None, also: int = 200, **query: str | None) -> Any:
        """The answer to a request, from JSON.

        Args:
            path: its parts, as they are: they get quoted.
            also: a status that is no refusal, beside those of success.
            query: what is None is left out.

        Raises:
            ApiError: it cannot be asked, or refuses.
        """
        url = URL("/".join([self._base, *(quote(part, safe="") for part in path)]), encoded=True)
        asked = url.update_query({key: value for key, value in query.items() if value is not None})
        try:
            # A redirect would carry the credentials elsewhere.
            async with self._session.request(method, asked, json=body, allow_redirects=False) as response:
                text = await _text(response)
        except (aiohttp.ClientError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise ApiError(f"{self._access.address}: {_reason(error)}") from None
        try:
            answer = json.loads(text)
        except ValueError:
            answer = text
        if 200 <= response.status < 300 or response.status == also:
            return answer
        raise ApiError(_refusal(response, answer), response.status)


def authorization(login: str | None, password: str | None, token: str | None) -> str:
    """The value of the header; "" when there are no credentials. Raises ApiError for half of them."""
    if token:
        return f"Bearer {token}"
    if login and password is not None:
        return "Basic " + b64encode(f"{login}:{password}".encode()).decode()
    if login or password:
        raise ApiError(f"a login needs a password and the other way round: {LOGIN} and {PASSWORD}")
    return ""


def secret(file: Path | None, variable: str) -> str | None:
    """The first line of a file, or a variable of the environment; None when there is neither. Raises ApiError."""
    if file is None:
        return os.environ.get(variable)
    try:
        return file.read_text().partition("\n")[0]
    except (OSError, UnicodeDecodeError) as error:
        raise ApiError(f"{file} cannot be read: {getattr(error, 'strerror', '') or 'it is no text'}") from None


async def _text(response: aiohttp.ClientResponse) -> str:
    parts, size = [], 0
    async for part in response.content.iter_any():
        parts.append(part)
        size += len(part)
        if size > LARGEST:
            raise aiohttp.ClientPayloadError("the answer is too large")
    return b"".join(parts).decode(errors="replace")


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return f"its certificate is not trusted: {error.certificate_error}"
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return "the name has no address"
    if isinstance(error, aiohttp.ClientConnectorSSLError):
        return f"no TLS session: {getattr(error.os_error, 'reason', '') or error.os_error}: is it http://, without TLS?"
    if isinstance(error, aiohttp.ClientResponseError):
        return "what answers there speaks no HTTP: is that the API of pygobetween, and not https://?"
    if isinstance(error, OSError) and error.errno and error.errno > 0:
        absent = error.errno in (errno.ECONNREFUSED, errno.ENOENT)
        return os.strerror(error.errno) + (": does pygobetween run there, with [api] enabled?" if absent else "")
    return str(error) or type(error).__name__


def _refusal(response: aiohttp.ClientResponse, answer: Any) -> str:
    """In the words of the API where it has some."""
    if not isinstance(answer, dict) or "error" not in answer:
        return f"HTTP {response.status} {response.reason}: is that the API of pygobetween?"
    lines = [str(answer["error"])]
    if response.status == 401:
        lines.append(f"set {LOGIN} and {PASSWORD}, or {TOKEN}")
    for problem in answer.get("problems", ()):
        where = f"{problem['path']}: " if problem.get("path") else ""
        value = f"{problem['value']} " if problem.get("value") else ""
        allowed = f"; allowed: {problem['allowed']}" if problem.get("allowed") else ""
        hint = f"; {problem['hint']}" if problem.get("hint") else ""
        lines.append(f"{where}{value}{problem['reason']}{allowed}{hint}")
    return "\n".join(lines)
