"""`healthcheck`: how it is found out whether a backend is alive."""

import re
from typing import Literal, Self

from pydantic import model_validator

from discovery.duration import Duration
from discovery.fields import Program, Text
from gobetween_py.config.escapes import unescape
from gobetween_py.section import Count, Positive, RuleError, Section


class Healthcheck(Section):
    """One kind of check, how often it runs, and how many results in a row change the verdict."""

    kind: Literal["ping", "probe", "exec", "none"] = "none"
    interval: Duration = 0.0
    """Between the starts of two checks of one backend; more than 0 unless kind is none."""
    timeout: Duration = 0.0
    """How long one check may take."""
    fails: Positive = 1
    """So many failures in a row make a backend unhealthy..."""
    passes: Positive = 1
    """...and so many successes healthy."""
    initial_status: Literal["healthy", "unhealthy"] = "healthy"
    """What a new backend is before its first check."""

    probe_protocol: Literal["tcp", "udp", "tls"] | None = None
    probe_strategy: Literal["starts_with", "regexp"] = "starts_with"
    probe_send: Text = ""
    """What is sent, with the escapes of a quoted Go string."""
    probe_recv: Text = ""
    """What must come back: the first bytes (with escapes), or a pattern."""
    probe_recv_len: Count = 0
    """How many bytes are read for a pattern."""

    exec_command: Program = ""
    """Called with the backend's host and port as arguments."""
    exec_expected_positive_output: Text = ""
    exec_expected_negative_output: Text = ""

    @model_validator(mode="after")
    def _interval_of_a_check(self) -> Self:
        if self.kind != "none" and self.interval == 0:
            raise RuleError(f"must be greater than 0 for kind '{self.kind}'", "interval")
        return self

    @model_validator(mode="after")
    def _probe_is_complete(self) -> Self:
        if self.kind == "probe":
            self._require("probe_protocol", "probe_send", "probe_recv")
        return self

    @model_validator(mode="after")
    def _probe_recv_len_belongs_to_regexp(self) -> Self:
        if self.kind == "probe" and self.probe_strategy == "regexp" and not self.probe_recv_len:
            raise RuleError("is required for probe_strategy 'regexp': the number of bytes to read", "probe_recv_len")
        if self.kind == "probe" and self.probe_strategy == "starts_with" and self.probe_recv_len:
            raise RuleError(
                "is only for probe_strategy 'regexp'; 'starts_with' reads len(probe_recv) bytes", "probe_recv_len"
            )
        return self

    @model_validator(mode="after")
    def _probe_texts_can_be_read(self) -> Self:
        if self.kind != "probe":
            return self
        _unescapes("probe_send", self.probe_send)
        if self.probe_strategy == "starts_with":
            _unescapes("probe_recv", self.probe_recv)
            return self
        try:
            re.compile(self.probe_recv)
        except (re.error, OverflowError, RecursionError) as error:
            raise RuleError(f"is no regular expression: {error}", "probe_recv") from None
        return self

    @model_validator(mode="after")
    def _exec_is_complete(self) -> Self:
        if self.kind == "exec":
            self._require("exec_command", "exec_expected_positive_output", "exec_expected_negative_output")
        return self

    def _require(self, *keys: str) -> None:
        if missing := [key for key in keys if not getattr(self, key, "told of already")]:
            raise RuleError(f"kind '{self.kind}' needs {', '.join(missing)}")


def _unescapes(key: str, text: str) -> None:
    """Raises RuleError when a text has an escape that is none."""
    try:
        unescape(text)
    except ValueError as error:
        raise RuleError(str(error), key) from None
