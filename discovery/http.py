"""Discoveries that ask an HTTP endpoint again and again: `json` and `plaintext`.

An answer that the server calls unchanged (ETag, Last-Modified) is the one before.
"""

import re
import ssl
from abc import abstractmethod
from typing import Annotated, Any, Self

from pydantic import AfterValidator, SecretStr, StrictStr, model_validator

from discovery.contract import Answer, Discovery, DiscoveryError, Options
from discovery.http_client import HttpClient, parse_endpoint
from discovery.tls import client_context

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")


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
        endpoint = parse_endpoint(options.http("endpoint"))
        self.source = endpoint.shown
        self._client = HttpClient(
            endpoint,
            headers={name: value.get_secret_value() for name, value in options.http("headers").items()},
            username=options.http("auth_username"),
            password=options.http("auth_password").get_secret_value(),
            tls=self._tls_context,
        )
        self._answer: Answer = ()

    @abstractmethod
    async def parse(self, text: str) -> Answer:
        """The backends of a document; bad entries go to `self.skipped`. Raises DiscoveryError."""

    async def fetch(self) -> Answer:
        text = await self._client.fetch()
        if text is None:
            self.skipped.unchanged()
            return self._answer
        try:
            self._answer = await self.parse(text)
        except (DiscoveryError, ValueError) as error:
            raise DiscoveryError(f"{self.source}: {error}") from error
        except RecursionError as error:
            raise DiscoveryError(f"{self.source}: the answer is nested too deeply") from error
        self._client.know()
        return self._answer

    async def close(self) -> None:
        """Ends the session; a later fetch makes another."""
        await self._client.close()

    def _tls_context(self) -> ssl.SSLContext:
        return client_context(
            ca=self._http("tls_cacert_path"),
            certificate=self._http("tls_cert_path"),
            key=self._http("tls_key_path"),
            verify=not self._http("tls_ignore_verify"),
        )
