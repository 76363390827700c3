"""From the text of a health answer to backends.

An answer is an array of objects, one an instance: {"Node": {...}, "Service": {...}, "Checks": [...]}, of about a
kilobyte each (https://developer.hashicorp.com/consul/api-docs/health).
"""

from dataclasses import dataclass, field
from typing import Any

from balancer.backend import BackendSpec
from discovery.consul.client import Reply
from discovery.contract import DiscoveryError
from discovery.entry import make_spec
from discovery.json_items import json_items
from discovery.slices import sliced

MOST_SKIPPED = 10_000
"""Bad entries of an answer, before it is bad as a whole."""
HINTS = ("priority", "max_connections", "sni", "alpn", "proxy_protocol")
"""What Service.Meta or a tag `name=value` may say of an instance."""


@dataclass(slots=True)
class Instances:
    """The backends of an answer, and what is wrong with the entries that are none."""

    specs: list[BackendSpec] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)


async def instances(service: str, reply: Reply) -> Instances:
    """The instances of a service that an answer tells of. Raises DiscoveryError when it is no array of objects."""
    found = Instances()
    try:
        async for number, entry in sliced(enumerate(json_items(reply.text), 1)):
            if not isinstance(entry, dict):
                raise ValueError(f"entry {number} is no object")
            try:
                found.specs.append(instance(entry))
            except ValueError as error:
                found.skipped.append(f"{_name(service, entry, number)}: {error}")
                if len(found.skipped) > MOST_SKIPPED:
                    raise ValueError(f"more than {MOST_SKIPPED} entries are no instances") from None
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
        raise DiscoveryError(f"{reply.host}: the answer for {service!r} is malformed: {reason}") from None
    return found


def instance(entry: dict[str, Any]) -> BackendSpec:
    """The backend of one entry. Raises ValueError that says what is wrong."""
    node, service = _table(entry, "Node"), _table(entry, "Service")
    meta, tags = _table(service, "Meta"), _list(service, "Tags")
    hints = {name: value for name in HINTS if (value := meta.get(name) or _of_tags(name, tags))}
    host = service.get("Address") or node.get("Address")
    if not isinstance(host, str):
        raise ValueError("neither the service nor its node has an address")
    if not all(isinstance(value, str) for value in hints.values()):
        raise ValueError("its Meta has values that are no text")
    return make_spec(host, service.get("Port", 0), weight=_weight(entry, service), **hints)


def _weight(entry: dict[str, Any], service: dict[str, Any]) -> Any:
    """Weights.Passing where all checks pass, else Weights.Warning; Consul's default of both is 1."""
    passing = all(isinstance(check, dict) and check.get("Status") == "passing" for check in _list(entry, "Checks"))
    return _table(service, "Weights").get("Passing" if passing else "Warning", 1)


def _of_tags(name: str, tags: list[Any]) -> str:
    """The value of the first tag `name=value`, up to a space; "" = there is none."""
    for tag in tags:
        if isinstance(tag, str) and tag.startswith(f"{name}="):
            value: str = tag[len(name) + 1 :].partition(" ")[0]
            return value
    return ""


def _table(owner: dict[str, Any], key: str) -> dict[str, Any]:
    value = owner.get(key) or {}
    if not isinstance(value, dict):
        raise ValueError(f"its {key} is no object")
    return value


def _list(owner: dict[str, Any], key: str) -> list[Any]:
    value = owner.get(key) or []
    if not isinstance(value, list):
        raise ValueError(f"its {key} is no array")
    return value


def _name(service: str, entry: dict[str, Any], number: int) -> str:
    found = entry.get("Service")
    ident = found.get("ID") if isinstance(found, dict) else None
    return f"{service} {ident[:80]!r}" if isinstance(ident, str) and ident else f"{service} entry {number}"
