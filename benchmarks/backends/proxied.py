"""The http backend, for connections that begin with a header of the PROXY protocol."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.backends import http
from benchmarks.net import Address

PROBE = b"PROXY UNKNOWN\r\nGET / HTTP/1.0\r\n\r\n"


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    return http.command(listening, directory, name="proxied", listen="proxy_protocol")
