"""redis-server without persistence: it answers PING, and holds thousands of idle connections cheaply."""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.net import Address


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    return [
        "redis-server",
        *("--bind", *(address.host for address in listening)),
        *("--port", str(listening[0].port)),
        *("--dir", str(directory)),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--maxclients", "12000"),
        *("--tcp-backlog", "4096"),
    ]
