"""`etcd`: the keys with a common prefix, each a backend, watched."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, StrictStr, model_validator

from balancer.backend import BackendSpec
from discovery.contract import MAX_ANSWER, Answer, Discovery, DiscoveryError, Options
from discovery.document import spec_of
from discovery.entry import plain_host
from discovery.etcd_gateway import Gateway, Message, TooLargeError
from discovery.fields import Array, FileName, Flag, Required, Secret, Text
from discovery.line import parse_line
from discovery.slices import sliced
from discovery.tls import client_context

PAGE = 500
"""Keys asked for at a time, so that decoding an answer does not hold the event loop. Fewer where their values are
large, and in the end a key without its value."""
MAX_VALUE = 65536
"""Bytes of a value; a longer one is no backend."""


def _endpoint(text: str) -> str:
    try:
        parts = urlsplit(text)
        plain_host(parts.hostname or "")
        valid = parts.scheme in {"http", "https"} and parts.port != 0
        extra = parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment
    except ValueError:
        valid, extra = False, None
    if not valid:
        raise ValueError("is no endpoint: write http://host:port or https://host:port")
    if extra:
        raise ValueError("has more than http(s)://host:port; the user belongs into etcd_username and etcd_password")
    return text.rstrip("/")


def _not_empty(endpoints: tuple[str, ...]) -> tuple[str, ...]:
    # Not min_length: pydantic would call a list of one wrong endpoint too short as well.
    if not endpoints:
        raise ValueError("is empty: write at least one endpoint")
    return endpoints


class EtcdOptions(Options):
    """Whom to ask, as whom, and for which keys."""

    kind: Literal["etcd"] = "etcd"
    etcd_endpoints: Annotated[Array[Annotated[StrictStr, AfterValidator(_endpoint)]], AfterValidator(_not_empty)]
    """Base URLs of the cluster's members, tried in turn."""
    etcd_prefix: Required
    """All keys that begin with it, for example "/services/web/"."""
    etcd_username: Text = ""
    etcd_password: Secret = Secret("")
    etcd_tls_cacert_path: FileName = ""
    """Only what these CAs signed is trusted; "" = the system's."""
    etcd_tls_cert_path: FileName = ""
    etcd_tls_key_path: FileName = ""
    etcd_tls_ignore_verify: Flag = False

    @model_validator(mode="after")
    def _pairs(self) -> Self:
        if bool(self.etcd_tls_cert_path) != bool(self.etcd_tls_key_path):
            raise ValueError("etcd_tls_cert_path and etcd_tls_key_path go together: one of them is missing")
        if bool(self.etcd_username) != bool(self.etcd_password.get_secret_value()):
            raise ValueError("etcd_username and etcd_password go together: one of them is missing")
        return self


class Etcd(Discovery):
    """A backend for each key: its value is a backend line, or a JSON object with host, port and so on.

    The watch goes on at the revision after the one that was fetched last, so no change gets lost between the two.
    """

    Options = EtcdOptions

    def __init__(self, options: EtcdOptions) -> None:
        super().__init__(options)
        prefix = options.etcd_prefix.encode()
        self._first, self._end = prefix, prefix[:-1] + bytes([prefix[-1] + 1])  # UTF-8 has no byte 255
        self.source = " and ".join(options.etcd_endpoints)
        timeout = self.default_timeout if options.timeout is None else options.timeout
        self._gateway = Gateway(
            options.etcd_endpoints,
            username=options.etcd_username,
            password=options.etcd_password.get_secret_value(),
            tls=lambda: client_context(
                ca=options.etcd_tls_cacert_path,
                certificate=options.etcd_tls_cert_path,
                key=options.etcd_tls_key_path,
                verify=not options.etcd_tls_ignore_verify,
            ),
            timeout=timeout or None,
        )
        self._revision = 0
        self._fetched = asyncio.Event()

    async def fetch(self) -> Answer:
        """The backends at one revision of the store, read page by page."""
        specs: list[BackendSpec] = []
        first, revision, size, limit, keys_only = self._first, 0, 0, PAGE, False
        while True:
            request = {**self._range(first), "limit": limit, "revision": revision, "keys_only": keys_only}
            try:
                page, page_size = await self._gateway.call("/v3/kv/range", request)
            except TooLargeError:
                if keys_only:
                    raise
                limit, keys_only = max(1, limit // 8), limit == 1
                continue
            size += page_size
            if size > MAX_ANSWER:
                raise DiscoveryError(f"the keys of {self._first.decode()!r} hold more than {MAX_ANSWER >> 20} MiB")
            try:
                revision = revision or int(page["header"]["revision"])
                pairs = [(_decode(pair["key"]), pair.get("value", "")) for pair in page.get("kvs", [])]
            except (TypeError, ValueError, LookupError, AttributeError) as error:
                raise DiscoveryError(f"malformed answer of etcd: {type(error).__name__}: {error}") from error
            async for key, value in sliced(pairs):
                if keys_only:
                    self.skipped.add(f"key {key.decode(errors='replace')}: the value has more than {MAX_VALUE} bytes")
                else:
                    self._add(specs, key, value)
            if not page.get("more") or not pairs:
                break
            first, keys_only = pairs[-1][0] + b"\0", False
        self._revision = revision
        self._fetched.set()
        return specs

    async def watch(self) -> AsyncIterator[None]:
        """Says "fetch now" at each change of the keys. Starts after a fetch that succeeded, also after it broke: that
        brings a revision to start from, an endpoint that works and a token that is valid.
        """
        await self._fetched.wait()
        request = {**self._range(self._first), "start_revision": self._revision + 1}
        try:
            async with aclosing(self._gateway.stream("/v3/watch", {"create_request": request})) as messages:
                async for message in messages:
                    if self._changed(message):
                        yield None
        finally:
            self._fetched.clear()

    async def close(self) -> None:
        """Ends the session."""
        await self._gateway.close()

    def _range(self, first: bytes) -> Message:
        return {"key": _encode(first), "range_end": _encode(self._end)}

    def _changed(self, message: Message | None) -> bool:
        """Whether a watch's message tells of changes. Raises DiscoveryError where the watch cannot go on."""
        if message is None:  # so large that it can only be changes
            return True
        try:
            result = message["result"]
            if result.get("canceled"):
                if compacted := int(result.get("compact_revision", 0)):
                    raise DiscoveryError(f"the changes before revision {compacted} are compacted")
                raise DiscoveryError(f"etcd cancelled the watch: {result.get('cancel_reason', '')!a:.200}")
            now = int(result["header"]["revision"])
            if result.get("created") and now < self._revision:
                raise DiscoveryError(f"the store went back from revision {self._revision} to {now}")
            return bool(result.get("events"))
        except (TypeError, ValueError, LookupError, AttributeError) as error:
            raise DiscoveryError(f"malformed message of etcd: {type(error).__name__}: {error}") from error

    def _add(self, specs: list[BackendSpec], key: bytes, value: Any) -> None:
        try:
            specs.append(parse_value(_decode(value)))
        except (ValueError, TypeError) as error:
            self.skipped.add(f"key {key.decode(errors='replace')}: {error}")


def parse_value(value: bytes) -> BackendSpec:
    """The backend in a key's value: an object in JSON, or a backend line. Raises ValueError."""
    if len(value) > MAX_VALUE:
        raise ValueError(f"the value has {len(value)} bytes; {MAX_VALUE} are allowed")
    text = value.decode().strip()
    if not text.startswith("{"):
        return parse_line(text)
    try:
        return spec_of(json.loads(text))
    except json.JSONDecodeError as error:
        raise ValueError(f"the value is no JSON: {error}") from None
    except RecursionError:
        raise ValueError("the value is nested too deeply") from None


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _decode(text: str) -> bytes:
    """Raises ValueError or TypeError for what is no base64."""
    return base64.b64decode(text, validate=True)
