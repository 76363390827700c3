"""`[access_log]` and `[servers.NAME.access_log]`: a line for each connection, at its end."""

from dataclasses import dataclass
from string import Formatter
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, PlainSerializer, PlainValidator, StrictStr, WithJsonSchema

from discovery.entry import number, plain_host, unix_address
from discovery.fields import Flag
from discovery.line import split_address
from gobetween_py.section import Section

FIELDS = (
    "time",
    "server",
    "client",
    "backend",
    "tx",
    "rx",
    "connect_time",
    "total_time",
    "attempts",
    "reason",
    "sni",
)
"""What is known of a connection, in the order of a JSON line; docs/access-log.md says what each is."""

TEMPLATE = (
    "{time} {server} {client} -> {backend} tx={tx} rx={rx} connect_time={connect_time} total_time={total_time} "
    "attempts={attempts} reason={reason} sni={sni}"
)
"""What format text is."""

FORMS = "stdout, stderr, the path of a file, syslog, syslog:/path or syslog:host:port"

Facility = Literal[
    "user", "daemon", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7"
]  # those of RFC 5424 that are meant for programs like this one

DEV_LOG = "/dev/log"


@dataclass(frozen=True, slots=True)
class Output:
    """Where lines go.

    For a file and for a syslog socket `path` is set, for syslog over UDP `host` and `port`.
    """

    kind: Literal["stdout", "stderr", "file", "syslog"]
    path: str = ""
    host: str = ""
    port: int = 0

    @classmethod
    def parse(cls, text: object) -> Self:
        """An output from its text. Raises ValueError that says what is wrong and which forms there are."""
        if not isinstance(text, str) or not text:
            raise ValueError(f"must be text: {FORMS}")
        if text == "stdout":
            return cls("stdout")
        if text == "stderr":
            return cls("stderr")
        if text == "syslog":
            return cls("syslog", path=DEV_LOG)
        name, colon, target = text.partition(":")
        if name != "syslog" or not colon:
            return cls("file", path=text)
        if target.startswith("/"):
            return cls("syslog", path=unix_address(f"unix:{target}").removeprefix("unix:"))
        try:
            host, port = split_address(target)
            return cls("syslog", host=plain_host(host), port=number("port", port, 1, 65535))
        except ValueError:
            raise ValueError(
                f"{text[:80]!r} is no syslog server: write syslog, syslog:/path or syslog:host:port"
            ) from None

    def __str__(self) -> str:
        if self.kind == "file":
            return self.path
        if self.host:
            return f"syslog:[{self.host}]:{self.port}" if ":" in self.host else f"syslog:{self.host}:{self.port}"
        return f"syslog:{self.path}" if self.path not in ("", DEV_LOG) else self.kind


def _text(output: Any) -> str:
    return str(output)


OutputText = Annotated[
    Output,
    PlainValidator(lambda value: value if isinstance(value, Output) else Output.parse(value)),
    PlainSerializer(_text, return_type=str),
    WithJsonSchema({"type": "string", "minLength": 1}),
]
"""A pydantic field: text in the config, an Output inside."""


def parts_of(template: str) -> list[tuple[str, str | None]]:
    """A template as pieces of plain text, each with the field that follows it (None after the last piece).

    Raises:
        ValueError: a brace without its partner, an unknown field or none at all, or more than one printed line.
    """
    if not template.isprintable():
        raise ValueError("must be one line of printable text")
    parts = []
    try:
        parsed = list(Formatter().parse(template))
    except ValueError:
        raise ValueError("has a brace without its partner: a plain brace is written {{ or }}") from None
    for literal, field, form, conversion in parsed:
        if field is not None and (field not in FIELDS or form or conversion):
            shown = field + (f"!{conversion}" if conversion else "") + (f":{form}" if form else "")
            raise ValueError(f"has no field {{{shown[:80]}}}: there are {', '.join(FIELDS)}")
        parts.append((literal, field))
    if not any(field for _, field in parts):
        raise ValueError('is neither text nor json nor a template with fields, as in "{client} {reason}"')
    return parts


def _known_format(form: str) -> str:
    if form not in ("text", "json"):
        parts_of(form)
    return form


class AccessLog(Section):
    """What is told of each connection, and where."""

    enabled: Flag = True
    """The section being there switches it on; false in a server switches it off for that one."""
    output: OutputText = Output("stdout")
    """stdout, stderr, the path of a file, syslog (/dev/log), syslog:/path or syslog:host:port (UDP)."""
    format: Annotated[StrictStr, AfterValidator(_known_format)] = "text"
    """text, json, or a template of one's own with fields in braces."""
    facility: Facility = "local0"
    """As what syslog gets the lines."""
