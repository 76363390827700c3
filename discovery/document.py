"""Backends in structured data (JSON, YAML): an array of entries, in each the values at given paths.

A path is keys joined by dots, a number where it goes into a list: `service.addresses.0.ip`. In a key, `~1` stands for a
dot and `~0` for a tilde.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from balancer.backend import BackendSpec
from discovery.entry import make_spec
from discovery.line import parse_line
from discovery.slices import sliced

Path = tuple[str, ...]


def parse_path(text: str) -> Path:
    """The keys of a dotted path; none of "", which is the whole document."""
    keys = text.split(".") if text else []
    return tuple(key.replace("~1", ".").replace("~0", "~") for key in keys)


@dataclass(frozen=True, slots=True)
class Paths:
    """Where in an entry the values of a backend lie."""

    host: Path = ("host",)
    port: Path = ("port",)
    weight: Path = ("weight",)
    priority: Path = ("priority",)
    max_connections: Path = ("max_connections",)
    sni: Path = ("sni",)


DEFAULT_PATHS = Paths()

INDEX = re.compile(r"[0-9]{1,9}")


def spec_of(entry: Any, paths: Paths = DEFAULT_PATHS) -> BackendSpec:
    """The backend of one entry: an object, in which a value that is absent or null has its default, or a backend line.

    Raises ValueError that says which value is wrong.
    """
    if isinstance(entry, str):
        return parse_line(entry)
    if not isinstance(entry, dict | list):
        raise ValueError(f"{str(entry)[:80]!r} is no object")
    host, sni = follow(entry, paths.host), follow(entry, paths.sni)
    if not isinstance(host, str):
        raise ValueError(f"no host (text at {'.'.join(paths.host)!r})" if host is None else "the host is no text")
    if not isinstance(sni, str | None):
        raise ValueError("the sni is no text")
    port = follow(entry, paths.port)
    if port is None and not host.startswith("unix:"):
        raise ValueError(f"no port (a number at {'.'.join(paths.port)!r})")
    return make_spec(
        host,
        _number(port, 0),
        weight=_number(follow(entry, paths.weight), 1),
        priority=_number(follow(entry, paths.priority), 1),
        max_connections=_number(follow(entry, paths.max_connections), 0),
        sni=sni or "",
        **_texts(entry, "alpn", "proxy_protocol"),
    )


def _texts(entry: Any, *names: str) -> dict[str, str]:
    """Values that are text; those that are absent or null are left out."""
    values = {name: value for name in names if (value := follow(entry, (name,))) is not None}
    for name, value in values.items():
        if not isinstance(value, str):
            raise ValueError(f"the {name} is no text")
    return values


async def specs_of(
    entries: Iterable[Any], skip: Callable[[str], None], paths: Paths = DEFAULT_PATHS
) -> list[BackendSpec]:
    """The backends of all entries; a bad one goes to `skip`, by its number from 1.

    Where all are bad, this is another list than one of backends: ValueError. Gives way to the event loop.
    """
    specs, number, problem = [], 0, ""
    async for entry in sliced(entries):
        number += 1
        try:
            specs.append(spec_of(entry, paths))
        except ValueError as error:
            skip(f"entry {number}: {error}")
            problem = problem or f"none of its entries is a backend, entry {number}: {error}"
    if problem and not specs:
        raise ValueError(problem)
    return specs


def follow(value: Any, path: Path) -> Any:
    """The value at a path, None where there is nothing."""
    for key in path:
        if isinstance(value, dict):
            value = value.get(key)
        elif isinstance(value, list) and INDEX.fullmatch(key):
            value = value[int(key)] if int(key) < len(value) else None
        else:
            return None
    return value


def _number(value: Any, default: int) -> int | str:
    """As make_spec wants it: 80, 80.0 and "80" are the same, everything odd stays odd and is refused there."""
    if value is None or value == "":
        return default
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value if isinstance(value, int | str) else repr(value)
