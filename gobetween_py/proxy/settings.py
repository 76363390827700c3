"""What a server asks of its connections or sessions."""

from __future__ import annotations

from dataclasses import dataclass

from gobetween_py.proxy.source import Source
from gobetween_py.proxy.staged import Stages


@dataclass(frozen=True, slots=True)
class Datagrams:
    """What a server asks of its UDP sessions beside `Settings`; 0 = no limit.

    Args:
        max_requests: after so many datagrams its client's next one begins another session.
        max_responses: after so many datagrams of its backend a session ends.
        hash_port: what hashes clients hashes their port too.
    """

    max_requests: int = 0
    max_responses: int = 0
    hash_port: bool = False


@dataclass(frozen=True, slots=True)
class Settings:
    """What a server asks of its connections. Durations are seconds, 0 = no limit.

    Both idle timeouts count silence in both directions: a long download is not cut because its client has nothing to
    say. So the shorter of the two decides.
    """

    max_connections: int = 0
    client_idle_timeout: float = 0.0
    backend_idle_timeout: float = 0.0
    backend_connection_timeout: float = 0.0
    connect_attempts: int = 3
    stages: Stages | None = None
    source: Source | None = None
    datagrams: Datagrams = Datagrams()
