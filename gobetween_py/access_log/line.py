"""One server's access log: what is known of an ended connection -> a line.

At a connection's end only facts are noted, and no more is done when the line will be dropped; the writer asks for
lines later, many at a time. That and the way they are filled took a line from 2.8 µs of CPU to 2.0 by itself; beside
relaying, which takes the caches, from 5 to 3 on a quiet machine and from 7 to 5 or 6 on a busy one.

All fields are made for each line, whether its format has them or not: asking would cost as much. The % operator puts
them in, in a third less time than str.format.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from json.encoder import encode_basestring_ascii
from operator import itemgetter
from time import gmtime, monotonic, strftime, time
from typing import TypeAlias

from balancer import Backend
from gobetween_py.access_log.writer import Writers
from gobetween_py.config.access_log import FIELDS, TEMPLATE, parts_of
from gobetween_py.config.access_log import AccessLog as Settings
from gobetween_py.proxy.flow import Flow
from gobetween_py.proxy.reason import Reason

MAPPED = "::ffff:"
"""What the kernel puts before the address of an IPv4 client of a dual-stack listener."""


Facts: TypeAlias = tuple[float, float, float, float, str, int, Backend | None, int, int, int, Reason, str]
"""(time(), begun, answered, ended, client's host, its port, backend, sent, received, attempts, reason, server name):
begun, answered and ended by `monotonic()`, answered 0.0 when no backend did."""


class AccessLog:
    """Writes a line for each connection of a server, from construction until `close`.

    Args:
        server: the server's name.
        settings: with an output that several servers may share.

    Attributes:
        writer: of that output.

    Raises:
        OSError: from the constructor, when the output cannot be opened.
    """

    def __init__(self, server: str, settings: Settings, writers: Writers) -> None:
        json = settings.format == "json"
        pattern, positions = json_pattern() if json else text_pattern(settings.format)
        self._pattern, self._chosen = pattern, itemgetter(*positions)
        self._quote: Callable[[str], str] = encode_basestring_ascii if json else plain
        self._absent = "null" if json else "-"
        self._server = self._quote(server)
        self._reasons = {reason: self._quote(reason.value) for reason in Reason}
        self._millisecond, self._moment = 0, ""
        self._writers = writers
        self.writer = writers.take(settings)
        self._write = self.writer.write

    def close(self) -> None:
        """Write no more lines."""
        self._writers.give(self.writer)

    def ended(self, connection: Flow, reason: Reason) -> None:
        """A connection has ended: an `on_end` of a listener."""
        facts: Facts = (
            time(),
            connection.begun,
            connection.answered,
            monotonic(),
            connection.host,
            connection.port,
            connection.backend,
            connection.sent,
            connection.received,
            connection.attempts,
            reason,
            connection.server_name,
        )
        self._write(self._line_of, facts)

    def refused(self, host: str, port: int, reason: Reason) -> None:
        """A client was turned away at the door: an `on_refusal` of a listener."""
        facts: Facts = (time(), 0.0, 0.0, 0.0, host, port, None, 0, 0, 0, reason, "")
        self._write(self._line_of, facts)

    def _line_of(self, facts: Facts) -> str:
        now, begun, answered, ended, host, port, backend, sent, received, attempts, reason, server_name = facts
        millisecond = int(now * 1000)
        if millisecond != self._millisecond:
            self._millisecond, self._moment = millisecond, self._quote(rfc3339(millisecond))
        values = (
            self._moment,
            self._server,
            self._quote(client_address(host, port)),
            self._absent if backend is None else self._quote(backend.address),
            sent,
            received,
            f"{answered - begun:.6f}" if answered else self._absent,
            ended - begun,
            attempts,
            self._reasons[reason],
            self._quote(server_name) if server_name else self._absent,
        )
        line: str = self._pattern % self._chosen(values)
        return line


def rfc3339(milliseconds: int) -> str:
    """A time since 1970, in UTC: `2026-01-31T12:00:00.123Z`."""
    seconds, rest = divmod(milliseconds, 1000)
    return f"{strftime('%Y-%m-%dT%H:%M:%S', gmtime(seconds))}.{rest:03d}Z"


def client_address(host: str, port: int) -> str:
    """`192.0.2.7:51234`, `[2001:db8::7]:51234`, or `unix:` for a client of a UNIX socket, which has no name."""
    if ":" in host:
        host = host[len(MAPPED) :] if host.startswith(MAPPED) else f"[{host}]"
    return f"{host}:{port}" if host else "unix:"


def json_pattern() -> tuple[str, Sequence[int]]:
    """For the % operator: an object with all fields; and their positions in FIELDS."""
    return "{" + ", ".join(f'"{field}": {_place(field)}' for field in FIELDS) + "}", range(len(FIELDS))


def text_pattern(form: str) -> tuple[str, Sequence[int]]:
    """The same from a format of the config that is not json."""
    parts = parts_of(TEMPLATE if form == "text" else form)
    pattern = "".join(text.replace("%", "%%") + (_place(field) if field else "") for text, field in parts)
    return pattern, [FIELDS.index(field) for _, field in parts if field]


def _place(field: str) -> str:
    return "%.6f" if field == "total_time" else "%s"


def plain(text: str) -> str:
    """A value within a line of text: what could be taken for the end of the line or of the field is escaped."""
    if text.isprintable() and " " not in text:
        return text
    return encode_basestring_ascii(text)[1:-1].replace(" ", "\\u0020")
