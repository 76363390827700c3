"""`source_address`: the address of this machine that connections to backends come from."""

import ipaddress
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, WithJsonSchema

from discovery.fields import Array, Text

_EXAMPLE = 'write one like "10.0.0.5", or one of each family: ["10.0.0.5", "2001:db8::5"]'


def _listed(value: object) -> object:
    """A single one may stand without brackets."""
    return [value] if isinstance(value, str) else value


def _address(text: str) -> str:
    """In its shortest form. Raises ValueError."""
    try:
        address = ipaddress.ip_address(text.strip())
    except ValueError:
        raise ValueError(f"{text[:80]!r} is no IP address: {_EXAMPLE}") from None
    if address.is_unspecified or address.is_multicast or getattr(address, "scope_id", None):
        raise ValueError(f"{text[:80]!r} cannot be a source: {_EXAMPLE}")
    return str(address)


def _one_of_each_family(addresses: tuple[str, ...]) -> tuple[str, ...]:
    """Raises ValueError."""
    if len({":" in address for address in addresses}) < len(addresses):
        raise ValueError(f"has two addresses of one family: {_EXAMPLE}")
    return addresses


def _text(addresses: Any) -> Any:
    return addresses[0] if len(addresses) == 1 else list(addresses)


SourceAddress = Annotated[
    Array[Annotated[Text, AfterValidator(_address)]],
    BeforeValidator(_listed),
    AfterValidator(_one_of_each_family),
    PlainSerializer(_text),
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 2}], "default": []}
    ),
]
"""A pydantic field: an address, or one of each family; none = as the kernel chooses."""
