"""The http backend, for connections that stay open: behind proxies that terminate TLS."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.backends import http
from benchmarks.net import Address


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    return http.command(listening, directory, name="kept", more="keepalive_timeout 1h; keepalive_requests 1000000000;")
