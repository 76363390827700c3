"""`plaintext`: text fetched over HTTP, a backend a line."""

from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from balancer.backend import BackendSpec
from discovery.contract import Answer
from discovery.entry import make_spec
from discovery.fields import FileName, Flag, Secret, Text
from discovery.http import HttpDiscovery, HttpEndpoint, HttpHeaders, HttpOptions
from discovery.line import parse_line, parse_lines
from discovery.pattern import Pattern

VALUES = ("weight", "priority", "max_connections", "sni", "alpn", "proxy_protocol")


def _checked(text: str) -> str:
    if text and (missing := {"host", "port"} - Pattern(text).groups):
        raise ValueError(f"has no group {' and no group '.join(f'(?P<{group}>...)' for group in sorted(missing))}")
    return text


class PlaintextOptions(HttpOptions):
    """Where the text is, and how to read its lines."""

    kind: Literal["plaintext"] = "plaintext"
    plaintext_endpoint: HttpEndpoint
    plaintext_regex_pattern: Annotated[Text, AfterValidator(_checked)] = ""
    """In Go's syntax, with the groups host, port and, where wanted, weight, priority, max_connections, sni, alpn and
    proxy_protocol; others mean nothing. It may match anywhere in a line. "" = the backend line of discovery/line.py."""
    plaintext_headers: HttpHeaders = Field(default_factory=dict)
    plaintext_auth_username: Text = ""
    plaintext_auth_password: Secret = Secret("")
    plaintext_tls_cacert_path: FileName = ""
    plaintext_tls_cert_path: FileName = ""
    plaintext_tls_key_path: FileName = ""
    plaintext_tls_ignore_verify: Flag = False


class Plaintext(HttpDiscovery):
    """Reads line by line; a bad line is skipped, comments and empty lines are passed over."""

    Options = PlaintextOptions

    def __init__(self, options: PlaintextOptions) -> None:
        super().__init__(options)
        pattern = options.plaintext_regex_pattern
        self._parse_line = PatternLine(pattern) if pattern else parse_line

    async def parse(self, text: str) -> Answer:
        """The backends of the lines."""
        return await parse_lines(text, self.skipped.add, self._parse_line)


class PatternLine:
    """Reads a line by an expression with named groups."""

    def __init__(self, pattern: str) -> None:
        self._pattern = Pattern(pattern)

    def __call__(self, line: str) -> BackendSpec:
        """The backend of one line. Raises ValueError where the expression does not match, or a value is wrong."""
        groups = self._pattern.search(line)
        if groups is None:
            raise ValueError(f"{line[:80]!r} does not match plaintext_regex_pattern")
        values = {name: value for name in VALUES if (value := groups.get(name))}
        return make_spec(groups["host"] or "", groups["port"] or "", **values)
