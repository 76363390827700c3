"""One server's access log: what is known of an ended connection -> a line.

All fields are made for each line, whether its format has them or not: asking would cost as much. They are then put in
by position, which takes half the time that it takes by name.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring_ascii
from time import gmtime, monotonic, strftime, time

from gobetween_py.access_log.writer import Writers
from gobetween_py.config.access_log import FIELDS, TEMPLATE, parts_of
from gobetween_py.config.access_log import AccessLog as Settings
from gobetween_py.proxy.flow import Flow
from gobetween_py.proxy.reason import Reason

MAPPED = "::ffff:"
"""What the kernel puts before the address of an IPv4 client of a dual-stack listener."""


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
        self._line = (json_template() if json else text_template(settings.format)).format
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
        begun, answered, backend = connection.begun, connection.answered, connection.backend
        self._write(
            self._line(
                self._now(),
                self._server,
                self._quote(client_address(connection.host, connection.port)),
                self._absent if backend is None else self._quote(backend.spec.address),
                connection.sent,
                connection.received,
                f"{answered - begun:.6f}" if answered else self._absent,
                f"{monotonic() - begun:.6f}",
                connection.attempts,
                self._reasons[reason],
                self._quote(connection.server_name) if connection.server_name else self._absent,
            )
        )

    def refused(self, host: str, port: int, reason: Reason) -> None:
        """A client was turned away at the door: an `on_refusal` of a listener."""
        client = self._quote(client_address(host, port))
        none = self._absent
        self._write(
            self._line(self._now(), self._server, client, none, 0, 0, none, "0.000000", 0, self._reasons[reason], none)
        )

    def _now(self) -> str:
        """The time of day as RFC 3339 has it, in UTC and milliseconds."""
        now = time()
        second = int(now)
        if second != self._second:
            self._second = second
            self._stamp = strftime("%Y-%m-%dT%H:%M:%S", gmtime(second))
        return self._quote(f"{self._stamp}.{int((now - second) * 1000):03d}Z")


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
