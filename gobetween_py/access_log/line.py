"""One server's access log: what is known of an ended connection -> a line.

At a connection's end only facts are noted; the writer asks for lines later, many at a time. A line costs 3 µs of CPU
so. Made at once, by code that relaying has pushed out of the CPU's caches, it cost 5.

All fields are made for each line, whether its format has them or not: asking would cost as much. They are then put in
by position, which takes half the time that it takes by name.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring_ascii
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
        self._fill = (json_template() if json else text_template(settings.format)).format
        self._quote: Callable[[str], str] = encode_basestring_ascii if json else plain
        self._absent = "null" if json else "-"
        self._server = self._quote(server)
        self._reasons = {reason: self._quote(reason.value) for reason in Reason}
        self._second, self._stamp = 0, ""
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
        return self._fill(
            self._quote(self._moment(now)),
            self._server,
            self._quote(client_address(host, port)),
            self._absent if backend is None else self._quote(backend.address),
            sent,
            received,
            f"{answered - begun:.6f}" if answered else self._absent,
            f"{ended - begun:.6f}",
            attempts,
            self._reasons[reason],
            self._quote(server_name) if server_name else self._absent,
        )

    def _moment(self, now: float) -> str:
        """A time of day as RFC 3339 has it, in UTC and milliseconds."""
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return f"{self._stamp}.{int((now - second) * 1000):03d}Z"


def client_address(host: str, port: int) -> str:
    """`192.0.2.7:51234`, `[2001:db8::7]:51234`, or `unix:` for a client of a UNIX socket, which has no name."""
    if ":" in host:
        host = host[len(MAPPED) :] if host.startswith(MAPPED) else f"[{host}]"
    return f"{host}:{port}" if host else "unix:"


def json_template() -> str:
    """For str.format, with a position for each field: an object with all of them."""
    return "{{" + ", ".join(f'"{field}": {{{position}}}' for position, field in enumerate(FIELDS)) + "}}"


def text_template(form: str) -> str:
    """The same from a format of the config that is not json."""
    pieces = parts_of(TEMPLATE if form == "text" else form)
    return "".join(
        text.replace("{", "{{").replace("}", "}}") + (f"{{{FIELDS.index(field)}}}" if field else "")
        for text, field in pieces
    )


def plain(text: str) -> str:
    """A value within a line of text: what could be taken for the end of the line or of the field is escaped."""
    if text.isprintable() and " " not in text:
        return text
    return encode_basestring_ascii(text)[1:-1].replace(" ", "\\u0020")
