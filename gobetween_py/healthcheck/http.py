"""`http`: the backend answers a request, over http or https, with an expected status and perhaps an expected body."""

import re
from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, StrictStr, WithJsonSchema, model_validator

from balancer import BackendSpec
from discovery.fields import Array, FileName, Flag, Text
from discovery.http import HttpHeaders
from discovery.pattern import Pattern
from gobetween_py.healthcheck.contract import Check, CheckFailedError, Target
from gobetween_py.healthcheck.http_reply import BadReplyError, Reply
from gobetween_py.healthcheck.link import Link
from gobetween_py.healthcheck.probe import compiles
from gobetween_py.healthcheck.tls import TlsClient, TlsOptions
from gobetween_py.section import RuleError

READ = 16_384
"""Bytes asked of one recv."""
DEFAULT_PORTS = {"http": 80, "https": 443}
STATUS_RANGE = r"^[1-9][0-9]{2}(-[1-9][0-9]{2})?$"


def _status_text(value: object) -> object:
    """One status may be written as a number."""
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


def _status_range(text: str) -> str:
    """Raises ValueError unless it is one status or a range of them."""
    if not re.fullmatch(STATUS_RANGE, text):
        raise ValueError("is no HTTP status or range of them: write 200 or 200-299, for example")
    if any(first > last for first, last in pairwise(text.split("-"))):
        raise ValueError("ends below its start")
    return text


def _method(text: str) -> str:
    if not re.fullmatch(r"[A-Z]+", text):
        raise ValueError("is no HTTP method: it is written in capitals")
    return text


def _request_target(path: str) -> str:
    if not re.fullmatch(r"/[!-~]*", path):
        raise ValueError("is no path of a request: it starts with a slash and has no blanks")
    return path


def _host_header(host: str) -> str:
    if not re.fullmatch(r"[!-~]*", host):
        raise ValueError("is no host name")
    return host


StatusRange = Annotated[
    StrictStr,
    BeforeValidator(_status_text),
    AfterValidator(_status_range),
    WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": STATUS_RANGE}, {"type": "integer", "minimum": 100, "maximum": 999}]}
    ),
]


class HttpOptions(TlsOptions):
    """What is asked, and which answers are good. Redirects are answers like others: they are not followed."""

    kind: Literal["http"] = "http"
    http_scheme: Literal["http", "https"] = "http"
    http_method: Annotated[Text, AfterValidator(_method)] = "GET"
    http_path: Annotated[Text, AfterValidator(_request_target)] = "/"
    http_host: Annotated[Text, AfterValidator(_host_header)] = ""
    """The Host header; "" = the backend's sni, else its host and port."""
    http_headers: HttpHeaders = Field(default_factory=dict)
    http_expected_status: Annotated[Array[StatusRange], Field(min_length=1)] = ("200-399",)
    """Good ones, each a status or a range."""
    http_expected_body: Text = ""
    """What the first 64 KiB of the body must hold; "" = the body is not read."""
    http_body_strategy: Literal["contains", "regexp"] = "contains"
    http_tls_server_name: Text = ""
    """Asked for and verified; "" = the backend's sni, else its host."""
    http_tls_cacert_path: FileName = ""
    """Authorities that may have signed the backends' certificates; "" = those of the system."""
    http_tls_cert_path: FileName = ""
    """A client's certificate, where the backends ask for one; together with http_tls_key_path."""
    http_tls_key_path: FileName = ""
    http_tls_ignore_verify: Flag = False
    """Whether any certificate of a backend will do."""

    @model_validator(mode="after")
    def _no_body_of_head(self) -> Self:
        if self.http_expected_body and self.http_method == "HEAD":
            raise RuleError("cannot be checked with http_method 'HEAD', which has no body", "http_expected_body")
        return self

    @model_validator(mode="after")
    def _body_can_be_matched(self) -> Self:
        if self.http_body_strategy == "regexp":
            compiles("http_expected_body", self.http_expected_body)
        return self


class Http(Check):
    """A connection for each check, closed as soon as the verdict is certain."""

    Options = HttpOptions

    def __init__(self, options: HttpOptions) -> None:
        super().__init__(options)
        self._tls = TlsClient(options) if options.http_scheme == "https" else None
        self._bodiless = options.http_method == "HEAD"
        self._body = options.http_expected_body
        self._pattern = Pattern(self._body) if options.http_body_strategy == "regexp" else None
        self._good = [(int(text[:3]), int(text[-3:])) for text in options.http_expected_status]
        self._host, self._default_port = options.http_host, DEFAULT_PORTS[options.http_scheme]
        ours = {"User-Agent": "pygobetween", "Accept": "*/*", "Connection": "close"}
        if options.http_method in ("POST", "PUT", "PATCH"):
            ours["Content-Length"] = "0"  # RFC 9110, 8.6: else some answer 411
        given = {name.lower() for name in options.http_headers}
        headers = {name: value for name, value in ours.items() if name.lower() not in given}
        headers |= {name: value.get_secret_value() for name, value in options.http_headers.items()}
        self._host_given = "host" in given
        self._start = f"{options.http_method} {options.http_path} HTTP/1.1\r\n".encode()
        self._rest = "".join(f"{name}: {value}\r\n" for name, value in headers.items()).encode("latin-1") + b"\r\n"

    async def check(self, target: Target) -> str:
        reply = Reply(bodiless=self._bodiless)
        with Link(target) as link:
            await link.connect()
            if self._tls is not None:
                await link.start_tls(await self._tls.context(), self._tls.server_name(target))
            await link.send(self._start + self._host_line(target) + self._rest)
            try:
                while not (reply.complete if self._body else reply.status):
                    reply.feed(await link.receive(READ))
            except BadReplyError as error:
                raise CheckFailedError(str(error)) from error
        if not any(first <= reply.status <= last for first, last in self._good):
            raise CheckFailedError(f"status {reply.status}")
        if self._body and not self._matches(reply.body.decode(errors="replace")):
            raise CheckFailedError(f"status {reply.status}, but the body does not hold what is expected")
        return f"status {reply.status}"

    def _matches(self, body: str) -> bool:
        return self._body in body if self._pattern is None else self._pattern.search(body) is not None

    def _host_line(self, target: Target) -> bytes:
        if self._host_given:
            return b""
        host = self._host or target.sni
        if not host:
            host = "localhost" if target.host.startswith("unix:") else BackendSpec(target.host, target.port).address
            host = host.removesuffix(f":{self._default_port}")
        return f"Host: {host}\r\n".encode()
