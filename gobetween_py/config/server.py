"""`[servers.NAME]`: one listener and where its connections go."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, SerializeAsAny, model_validator
from pydantic_core import PydanticCustomError

from balancer import registry as balancers
from discovery.contract import Options
from discovery.duration import Duration
from discovery.fields import Array, Flag
from gobetween_py.config.access import Access
from gobetween_py.config.access_log import AccessLog
from gobetween_py.config.bind import BindAddress
from gobetween_py.config.override import Override
from gobetween_py.config.proxy_protocol import ProxyProtocol, ProxyProtocolIn
from gobetween_py.config.source import SourceAddress
from gobetween_py.config.tls import BackendsTls, Tls
from gobetween_py.healthcheck.contract import Options as HealthcheckOptions
from gobetween_py.section import Count, Positive, RuleError, Section


def _known_balancer(name: str) -> str:
    """The name. Raises the error that a Literal would raise."""
    if name in balancers.BUILT_IN:  # entry points are looked for on disk: not for each of many servers
        return name
    names = balancers.names()
    if name not in names:
        raise PydanticCustomError("literal_error", "unknown", {"expected": ", ".join(map(repr, names))})
    return name


BalancerName = Annotated[str, AfterValidator(_known_balancer)]


class Sni(Section):
    """Choosing backends by the host name that a TLS client asks for."""

    read_timeout: Duration = 2.0
    """How long the ClientHello may take."""
    hostname_matching_strategy: Literal["exact", "regexp"] = "exact"
    """Whether a backend's sni is a name, compared without case, or a pattern."""
    unexpected_hostname_strategy: Literal["default", "reject", "any"] = "default"
    """A client that matches no backend: those without sni get it, or it is closed, or all get it."""


class Udp(Section):
    """When a UDP session ends, beside its idle timeouts."""

    max_requests: Count = 0
    """After so many datagrams of the client; 0 = no limit."""
    max_responses: Count = 0
    """After so many datagrams of the backend; 0 = no limit."""
    transparent: Flag = False
    """The same as transparent = true of the server."""
    hash: Literal["ip", "ip+port"] = "ip"
    """What balancers that hash clients know them by. With the port, the sessions of one machine are spread."""


class Server(Section):
    """A listener, the choice among its backends, and its limits."""

    bind: BindAddress
    """host:port, :port (IPv4 and IPv6), [v6]:port or unix:/path."""
    protocol: Literal["tcp", "tls", "udp"] = "tcp"
    balance: BalancerName = "weight"
    """Which live backend gets the next connection."""
    priority_tiers: Flag = False
    """Whether backends of the lowest priority number go first, and others only when none of those is live. weight
    always does so."""
    connect_attempts: Positive = 3
    """How many different backends are tried before a client is given up."""

    max_connections: Count = 0
    """Most connections at once; 0 = no limit."""
    client_idle_timeout: Duration = 0.0
    """A client that sends nothing for so long is disconnected; "0" = never."""
    backend_idle_timeout: Duration = 0.0
    """A backend that sends nothing for so long is disconnected; "0" = never."""
    backend_connection_timeout: Duration = 0.0
    """How long connecting to one backend may take; "0" = as long as the kernel tries."""
    shutdown_timeout: Duration = 10.0
    """How long connections may go on when the server stops; "0" = they are closed at once."""

    transparent: Flag = False
    """Whether backends see the client's address as the source; over UDP its port too. Needs CAP_NET_ADMIN."""
    source_address: SourceAddress = ()
    """Of this machine, one or one of each family: where connections to backends, and health checks, come from."""

    sni: Sni | None = None
    tls: Tls | None = None
    backends_tls: BackendsTls | None = None
    """Present = TLS to the backends."""
    udp: Udp | None = None
    access: Access = Access()
    access_log: AccessLog | None = None
    """A line for each connection at its end; what is not said here is taken from the section [access_log]."""
    proxy_protocol: ProxyProtocol | None = None
    """Present = backends get a header of the PROXY protocol."""
    proxy_protocol_in: ProxyProtocolIn | None = None
    """Present = clients have to send a header of the PROXY protocol."""
    healthcheck: SerializeAsAny[HealthcheckOptions] = HealthcheckOptions()
    """How it is found out whether a backend is alive; the keys depend on its kind."""
    discovery: SerializeAsAny[Options]
    """Where the backends come from; the keys depend on its kind."""
    backends: Array[Override] = ()
    """What is set by hand about single backends, whether discovery finds them or not."""

    @property
    def is_transparent(self) -> bool:
        """Whether backends see the client's address, whichever of its two keys says so."""
        return self.transparent or (self.protocol == "udp" and self.udp is not None and self.udp.transparent)

    @property
    def tells_names(self) -> bool:
        """Whether the server name that a client asks for is told: to the access log, or to backends."""
        return self.access_log is not None or (
            self.proxy_protocol is not None and "authority" in self.proxy_protocol.tlvs
        )

    @property
    def transport(self) -> Literal["tcp", "udp"]:
        """What the protocol runs on: tls listens on TCP ports."""
        return "udp" if self.protocol == "udp" else "tcp"

    @model_validator(mode="after")
    def _tls_has_its_section(self) -> Self:
        if self.protocol == "tls" and self.tls is None:
            raise RuleError("is required for protocol 'tls'", "tls")
        return self

    @model_validator(mode="after")
    def _no_tls_over_udp(self) -> Self:
        if self.protocol == "udp" and self.backends_tls is not None:
            raise RuleError("cannot be used with protocol 'udp'", "backends_tls")
        return self

    @model_validator(mode="after")
    def _proxy_protocol_over_udp_is_version_2(self) -> Self:
        if self.protocol == "udp" and self.proxy_protocol is not None and self.proxy_protocol.version != "2":
            raise RuleError("must be '2' with protocol 'udp'", "proxy_protocol", "version")
        return self

    @model_validator(mode="after")
    def _no_ping_over_udp(self) -> Self:
        if self.protocol == "udp" and self.healthcheck.kind == "ping" and not self.healthcheck.port:
            raise RuleError(
                "'ping' opens TCP connections: with protocol 'udp' it needs a port for them", "healthcheck", "kind"
            )
        return self

    @model_validator(mode="after")
    def _udp_sessions_end(self) -> Self:
        if self.protocol == "udp":
            udp = self.udp or Udp()
            if not (self.client_idle_timeout or self.backend_idle_timeout or udp.max_requests or udp.max_responses):
                raise ValueError(
                    "protocol 'udp' needs an end of its sessions: one of client_idle_timeout, backend_idle_timeout, "
                    "udp.max_requests, udp.max_responses"
                )
        return self

    @model_validator(mode="after")
    def _a_backend_is_set_once(self) -> Self:
        seen: set[str] = set()
        for backend in self.backends:
            if backend.address in seen:
                raise RuleError(f"{backend.address!r} is there twice", "backends")
            seen.add(backend.address)
        return self

    @model_validator(mode="after")
    def _udp_has_no_unix_sockets(self) -> Self:
        if self.protocol == "udp" and self.bind.path:
            raise RuleError("protocol 'udp' cannot listen on a UNIX socket", "bind")
        return self
