"""`proxy_protocol` and `proxy_protocol_in`: headers that backends get, and headers that clients send."""

import ipaddress
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PlainSerializer, PlainValidator, WithJsonSchema, model_validator

from discovery.duration import Duration
from discovery.fields import Array
from gobetween_py.section import RuleError, Section

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network


def _network(value: object) -> IpNetwork:
    """Host bits may be set, as in access rules. Raises ValueError."""
    if isinstance(value, IpNetwork):
        return value
    if not isinstance(value, str):
        raise ValueError('must be text: an address or a network, for example "10.0.0.0/8"')
    try:
        return ipaddress.ip_network(value.strip(), strict=False)
    except ValueError:
        raise ValueError(f'{value[:80]!r} is no address or network: write one like "10.0.0.0/8"') from None


def _text(network: Any) -> str:
    return str(network)


Network = Annotated[
    IpNetwork,
    PlainValidator(_network),
    PlainSerializer(_text, return_type=str),
    WithJsonSchema({"type": "string", "pattern": r"^\s*[0-9A-Fa-f:.]+(/[0-9]+)?\s*$"}),
]
"""A pydantic field: text in the config, a network inside; a single address is a network of one."""


class ProxyProtocol(Section):
    """The PROXY protocol's header, sent to the backend before the client's bytes."""

    version: Literal["1", "2"] = "1"
    tlvs: Array[Literal["alpn", "authority", "unique_id", "ssl", "crc32c"]] = ()
    """What version 2 tells beside the addresses, as far as it is known: what the client's own header says, its name
    and protocol where they are read, an id of the connection, its TLS where that ends here, and a checksum."""

    @model_validator(mode="after")
    def _tlvs_need_version_2(self) -> Self:
        if self.tlvs and self.version == "1":
            raise RuleError("needs version '2'", "tlvs")
        return self


class ProxyProtocolIn(Section):
    """The header that clients have to send first, version 1 or 2. The address in it is the client's from then on."""

    trusted: Annotated[Array[Network], Field(min_length=1)]
    """Addresses and networks of those who send it; others are closed. Clients of a UNIX socket are always trusted."""
    read_timeout: Duration = 5.0
    """How long the header may take; "0" = no limit."""
