"""The backend line: `host:port[ weight=N][ priority=N][ max_connections=N][ sni=NAME]`, options in any order.

Two more are `alpn=PROTOCOL` and `proxy_protocol=VERSION`; sni and alpn may be lists with commas between.

IPv6 stands in brackets; a UNIX socket is `unix:/path` instead of `host:port`.
"""

from collections.abc import Callable, Iterator
from typing import Any

from balancer.backend import BackendSpec
from discovery.entry import make_spec, unix_address
from discovery.slices import PAUSE, sliced

MAX_LINE = 65536
"""Characters; taking a longer line apart would hold up others."""

OPTIONS = ("weight", "priority", "max_connections", "sni", "alpn", "proxy_protocol")


def parse_line(text: str) -> BackendSpec:
    """The backend of one line. Raises ValueError that names what is wrong and how to write it."""
    address, *options = text.split() or [""]
    host, port = split_address(address)
    values: dict[str, str] = {}
    for option in options:
        name, equals, value = option.partition("=")
        if name not in OPTIONS or not equals:
            raise ValueError(f"{option[:80]!r} is no option of a backend: known are {', '.join(OPTIONS)} (name=value)")
        if name in values:
            raise ValueError(f"{name} is given twice")
        if not value:
            raise ValueError(f"{name} has no value: write {name}=value, without spaces")
        values[name] = value
    return make_spec(host, port, **values)


def split_address(address: str) -> tuple[str, str]:
    """Host and port of `host:port`, `[v6]:port`, or (`unix:/path`, "0"). Raises ValueError."""
    if address.startswith("unix:"):
        return unix_address(address), "0"
    if "//" in address:
        raise ValueError(f"{address[:80]!r} is a URL: write host:port, for example localhost:8000")
    host, colon, port = address.rpartition(":")
    if not colon or not port or address.endswith("]"):
        raise ValueError(f"{address[:80]!r} has no port: write host:port, for example localhost:8000")
    if not host:
        raise ValueError(f"{address[:80]!r} has no host: write host:port, for example localhost:8000")
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise ValueError(f"{address[:80]!r}: write an IPv6 address in brackets, for example [::1]:8000")
    return host, port


async def parse_lines(
    text: str, skip: Callable[[str], None], parse: Callable[[str], BackendSpec] = parse_line
) -> list[BackendSpec]:
    """The backends of a text, a line each; blank lines and comments (from `#` on) are passed over.

    A bad line goes to `skip` as a text that names it, and does not spoil the others. Where all are bad, this is no list
    of backends but, say, a page with an error: ValueError. Gives way to the event loop.
    """
    specs, problem = [], ""
    async for number, line in sliced(content_lines(text)):
        try:
            if len(line) > MAX_LINE:
                raise ValueError(f"it has {len(line)} characters; {MAX_LINE} are allowed")
            specs.append(parse(line))
        except ValueError as error:
            skip(f"line {number}: {error}")
            problem = problem or f"none of its lines is a backend, line {number}: {error}"
    if problem and not specs:
        raise ValueError(problem)
    return specs


def content_lines(text: str) -> Iterator[Any]:
    """(line number from 1, line) of each line that holds something, without its comment, CR and outer blanks.

    A comment is a `#` at the beginning or after a blank. Found one by one, with a PAUSE (see slices.py) now and then:
    an answer may be millions of empty lines.
    """
    start, number = 0, 0
    while start < len(text):
        end = text.find("\n", start)
        if end < 0:
            end = len(text)
        number += 1
        line = text[start:end].strip()
        start = end + 1
        if "#" in line:
            line = "" if line[0] == "#" else line.partition(" #")[0].partition("\t#")[0].rstrip()
        if line:
            yield number, line
        elif number % 1000 == 0:
            yield PAUSE
