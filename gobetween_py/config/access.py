"""Who may connect: rules like `deny 127.0.0.1` and `allow 10.0.0.0/8`, of which the first that matches wins."""

import ipaddress
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Self

from pydantic import PlainSerializer, PlainValidator, WithJsonSchema

from discovery.fields import Array
from gobetween_py.section import Section

FORM = 'write "allow ADDRESS" or "deny NETWORK/BITS", for example "deny 10.0.0.0/8"'


@dataclass(frozen=True, slots=True)
class AccessRule:
    """A parsed rule; a single address is a network of one."""

    allow: bool
    network: ipaddress.IPv4Network | ipaddress.IPv6Network

    @classmethod
    def parse(cls, text: object) -> Self:
        """A rule from its text. Host bits may be set, as in `allow 10.1.2.3/8`. Raises ValueError."""
        if not isinstance(text, str):
            raise ValueError(f"must be text: {FORM}")
        verb, _, network = text.strip().partition(" ")
        if verb not in ("allow", "deny"):
            raise ValueError(f"{text[:80]!r} is no rule: {FORM}")
        try:
            return cls(verb == "allow", ipaddress.ip_network(network.strip(), strict=False))
        except ValueError:
            raise ValueError(f"{text[:80]!r} has no valid IPv4 or IPv6 address or network: {FORM}") from None

    def __str__(self) -> str:
        single = self.network.num_addresses == 1
        return f"{'allow' if self.allow else 'deny'} {self.network.network_address if single else self.network}"


def _text(rule: Any) -> str:
    return str(rule)


RuleText = Annotated[
    AccessRule,
    PlainValidator(lambda value: value if isinstance(value, AccessRule) else AccessRule.parse(value)),
    PlainSerializer(_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*(allow|deny) +[0-9A-Fa-f:./%]+\s*$"}),
]
"""A pydantic field: text in the config, an AccessRule inside."""


class Access(Section):
    """Which clients may connect."""

    default: Literal["allow", "deny"] = "allow"
    """What happens to a client that no rule matches."""
    rules: Array[RuleText] = ()
    """The first rule that matches a client's address wins. IPv4 rules match IPv4 clients of a dual-stack bind too."""
