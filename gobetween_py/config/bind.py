"""Where a server listens: `host:port`, `:port`, `[v6]:port` or `unix:/path`."""

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Any, Self

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from discovery.entry import number, plain_host, unix_address

FORMS = "host:port, :port, [v6]:port or unix:/path"


@dataclass(frozen=True, slots=True)
class Bind:
    """A parsed address to listen on.

    host is "" for every address of the machine, IPv4 and IPv6 on one socket; IPv6 stands without brackets. port is 0
    for any free one, and for a UNIX socket, whose absolute path stands in `path` ("" otherwise).
    """

    host: str
    port: int
    path: str = ""

    @classmethod
    def parse(cls, text: object) -> Self:
        """A bind from its text. Raises ValueError that says what is wrong and which forms there are."""
        if not isinstance(text, str):
            raise ValueError(f"must be text: {FORMS}")
        if text.startswith("unix:"):
            return cls("", 0, unix_address(text).removeprefix("unix:"))
        host, colon, port = text.rpartition(":")
        if not colon or (":" in host and not host.startswith("[")):
            raise ValueError(f"{text[:80]!r} has no port: write {FORMS}")
        return cls(plain_host(host) if host else "", number("port", port, 0, 65535))

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether only programs of this machine reach it, as far as can be told without resolving names."""
        address = _address(self.host)
        return address == "localhost" if isinstance(address, str) else address.is_loopback

    def overlaps(self, other: "Bind") -> bool:
        """Whether the kernel would refuse the second of the two, as far as can be told without resolving names."""
        if self.path or other.path:
            return self.path == other.path
        if self.port != other.port or self.port == 0:
            return False
        mine, theirs = _address(self.host), _address(other.host)
        return mine == theirs or _covers(mine, theirs) or _covers(theirs, mine)


_Address = ipaddress.IPv4Address | ipaddress.IPv6Address | str


def _address(host: str) -> _Address:
    try:
        return ipaddress.ip_address(host or "::")
    except ValueError:
        return host.lower()


def _covers(wide: _Address, narrow: _Address) -> bool:
    """`::` listens for IPv4 too; of a name it is only known that it is some address of this machine."""
    if isinstance(wide, str) or not wide.is_unspecified:
        return False
    return wide.version == 6 or not isinstance(narrow, ipaddress.IPv6Address)


def _text(bind: Any) -> str:
    return str(bind)


BindAddress = Annotated[
    Bind,
    PlainValidator(lambda value: value if isinstance(value, Bind) else Bind.parse(value)),
    PlainSerializer(_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^(unix:/.+|\[[0-9A-Fa-f:.]+\]:[0-9]+|[^\[\]:]*:[0-9]+)$"}),
]
"""A pydantic field: text in the config, a Bind inside."""
