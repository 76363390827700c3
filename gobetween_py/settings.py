"""From a server's config to what its data plane is told: settings, access rules, and the source of its connections."""

from __future__ import annotations

from balancer import Pool
from gobetween_py.bind import BindError
from gobetween_py.config import Server
from gobetween_py.healthcheck.places import Approach
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.proxy_protocol import Header, build_v1, build_v2
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.source import AF_INET, AF_INET6, Source, may_pose
from gobetween_py.stages import stages_of
from gobetween_py.tls.security import Security

LOCAL = {"1": build_v1(Header()), "2": build_v2(Header())}
"""The PROXY header of a connection that is nobody's, by version: UNKNOWN, LOCAL."""


def settings_of(config: Server, pool: Pool, tls: Security) -> Settings:
    """What the config asks of connections or sessions."""
    return Settings(
        max_connections=config.max_connections,
        client_idle_timeout=config.client_idle_timeout,
        backend_idle_timeout=config.backend_idle_timeout,
        backend_connection_timeout=config.backend_connection_timeout,
        connect_attempts=config.connect_attempts,
        stages=stages_of(config, pool, tls),
        source=source_of(config),
        datagrams=_datagrams(config),
    )


def access_of(config: Server) -> Access | None:
    """The server's rules; None when everybody may connect, so that nobody is asked."""
    access = config.access
    allowed = access.default == "allow"
    if allowed and not access.rules:
        return None
    return Access(((rule.allow, rule.network) for rule in access.rules), default=allowed)


def source_of(config: Server) -> Source | None:
    """The address that backends see; None = whatever the kernel chooses."""
    own = {AF_INET6 if ":" in address else AF_INET: address for address in config.source_address}
    return Source(config.is_transparent, own) if own or config.is_transparent else None


def approach_of(config: Server) -> Approach:
    """How health checks come to the backends: as connections of clients do, but in nobody's name."""
    source = source_of(config)
    version = config.proxy_protocol.version if config.proxy_protocol else ""
    headers = LOCAL if config.transport == "tcp" else {"2": LOCAL["2"]}
    return Approach(
        Source(own=source.own) if source else None,
        lambda backend: headers.get(backend.spec.proxy_protocol or version, b""),
    )


def check_source(name: str, config: Server) -> None:
    """Raises BindError where this process may not do what the config of a server asks for."""
    if config.is_transparent and not may_pose():
        key = "transparent" if config.transparent else "udp.transparent"
        raise BindError(
            f"servers.{name}.{key}: sockets with the address of a client need CAP_NET_ADMIN or CAP_NET_RAW: run as "
            "root, or with AmbientCapabilities=CAP_NET_ADMIN in the systemd unit"
        )


def _datagrams(config: Server) -> Datagrams:
    udp = config.udp
    if udp is None:
        return Datagrams()
    return Datagrams(udp.max_requests, udp.max_responses, hash_port=udp.hash == "ip+port")
