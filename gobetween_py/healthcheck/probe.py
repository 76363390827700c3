"""`probe`: sends some bytes and looks at what comes back, over TCP, TLS or UDP."""

import socket
from typing import Literal, Self

from pydantic import model_validator

from discovery.fields import FileName, Flag, Text
from discovery.pattern import Pattern
from gobetween_py.healthcheck.contract import Check, CheckFailedError, Target
from gobetween_py.healthcheck.escapes import unescape
from gobetween_py.healthcheck.link import Link
from gobetween_py.healthcheck.tls import TlsClient, TlsOptions
from gobetween_py.section import Count, RuleError

SHOWN = 40
"""Bytes of a wrong answer that a message shows."""


class ProbeOptions(TlsOptions):
    """What is sent, and what must come back."""

    kind: Literal["probe"] = "probe"
    probe_protocol: Literal["tcp", "udp", "tls"] | None = None
    probe_strategy: Literal["starts_with", "regexp"] = "starts_with"
    probe_send: Text = ""
    """What is sent, with the escapes of a quoted Go string."""
    probe_recv: Text = ""
    """What must come back: the first bytes (with escapes), or a pattern."""
    probe_recv_len: Count = 0
    """How many bytes are read for a pattern."""
    probe_tls_server_name: Text = ""
    """Asked for and verified; "" = the backend's sni, else its host."""
    probe_tls_cacert_path: FileName = ""
    """Authorities that may have signed the backends' certificates; "" = those of the system."""
    probe_tls_cert_path: FileName = ""
    """A client's certificate, where the backends ask for one; together with probe_tls_key_path."""
    probe_tls_key_path: FileName = ""
    probe_tls_ignore_verify: Flag = False
    """Whether any certificate of a backend will do."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.require("probe_protocol", "probe_send", "probe_recv")
        return self

    @model_validator(mode="after")
    def _recv_len_belongs_to_regexp(self) -> Self:
        if self.probe_strategy == "regexp" and not self.probe_recv_len:
            raise RuleError("is required for probe_strategy 'regexp': the number of bytes to read", "probe_recv_len")
        if self.probe_strategy == "starts_with" and self.probe_recv_len:
            raise RuleError(
                "is only for probe_strategy 'regexp'; 'starts_with' reads len(probe_recv) bytes", "probe_recv_len"
            )
        return self

    @model_validator(mode="after")
    def _texts_can_be_read(self) -> Self:
        _unescapes("probe_send", self.probe_send)
        if self.probe_strategy == "starts_with":
            _unescapes("probe_recv", self.probe_recv)
        else:
            compiles("probe_recv", self.probe_recv)
        return self


class Probe(Check):
    """Reads exactly as many bytes as it compares; what the backend sends beyond them is left."""

    Options = ProbeOptions

    def __init__(self, options: ProbeOptions) -> None:
        super().__init__(options)
        self._kind = socket.SOCK_DGRAM if options.probe_protocol == "udp" else socket.SOCK_STREAM
        self._tls = TlsClient(options) if options.probe_protocol == "tls" else None
        self._send = unescape(options.probe_send)
        if options.probe_strategy == "regexp":
            self._pattern: Pattern | None = Pattern(options.probe_recv)
            self._expected, self._length = b"", options.probe_recv_len
        else:
            self._pattern = None
            self._expected = unescape(options.probe_recv)
            self._length = len(self._expected)

    async def check(self, target: Target) -> str:
        with Link(target, self._kind) as link:
            await link.connect()
            if self._tls is not None:
                await link.start_tls(await self._tls.context(), self._tls.server_name(target))
            await link.send(self._send)
            answer = await self._read(link)
        if self._pattern is None:
            right = answer == self._expected
        else:  # Go's regexp, too, reads bytes as UTF-8
            right = self._pattern.search(answer.decode(errors="replace")) is not None
        if not right:
            raise CheckFailedError(f"answered {_shown(answer)}")
        return f"answered {_shown(answer)}"

    async def _read(self, link: Link) -> bytes:
        answer = b""
        while len(answer) < self._length:
            data = await link.receive(self._length - len(answer))
            if not data and self._kind == socket.SOCK_STREAM:
                raise CheckFailedError(f"closed after {len(answer)} of {self._length} bytes: {_shown(answer)}")
            answer += data
        return answer


def compiles(key: str, pattern: str) -> None:
    """Raises RuleError when the text of a key is no regular expression."""
    try:
        Pattern(pattern)
    except ValueError as error:
        raise RuleError(str(error), key) from None


def _unescapes(key: str, text: str) -> None:
    """Raises RuleError when a text has an escape that is none."""
    try:
        unescape(text)
    except ValueError as error:
        raise RuleError(str(error), key) from None


def _shown(answer: bytes) -> str:
    return repr(answer[:SHOWN])[1:] + ("..." if len(answer) > SHOWN else "")
