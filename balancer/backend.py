"""What discovery says of a backend (`BackendSpec`), and what a pool knows of it (`Backend`)."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

UNIX_PREFIX = "unix:"


@dataclass(frozen=True, slots=True)
class BackendSpec:
    """A backend as a discovery yields it.

    Args:
        host: name or address, IPv6 without brackets; "unix:/path" for a UNIX socket.
        port: 1 to 65535; 0 for a UNIX socket.
        weight: share among its priority; a negative one takes the backend out where weights count.
        priority: lowest is used first (RFC 2782); a negative one takes the backend out where priorities count.
        max_connections: open connections at most, 0 for no limit.
        sni: the server names this backend is meant for, with commas between, "" for any.
        alpn: the protocols (RFC 7301) that it is meant for, with commas between, "" for any.
        proxy_protocol: version of the PROXY header that it gets, "1", "2" or "none"; "" as its server says.
    """

    host: str
    port: int
    weight: int = 1
    priority: int = 1
    max_connections: int = 0
    sni: str = ""
    alpn: str = ""
    proxy_protocol: str = ""

    @property
    def address(self) -> str:
        """ "host:port", "[v6]:port" or "unix:/path"."""
        if self.host.startswith(UNIX_PREFIX):
            return self.host
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def key(self) -> tuple[str, int]:
        """What makes two specs the same backend."""
        return self.host, self.port


class Backend:
    """One known backend of a pool, the same object for as long as it is listed. Compared by identity; written by its
    pool.

    Attributes:
        row: offset of its counters; ACTIVE, the first column, is at `row` itself.
        live: the verdict of the health checks.
        discovered: named by the last answer of discovery.
        held: taken out by hand.
        full: ACTIVE has reached max_connections.
        share: above 0, at most 1: how much of its usual part it gets, less than 1 while it starts slowly.
        family: of `sockaddr`, as in the socket module.
        sockaddr: where to connect; None until the control plane has resolved the host, and not picked until then.
        rx_second, tx_second: bytes per second from and to the backend, over the last tick.
    """

    __slots__ = (
        "address",
        "discovered",
        "family",
        "full",
        "held",
        "ignored",
        "limit",
        "live",
        "moved",
        "row",
        "rx_second",
        "rx_seen",
        "share",
        "sockaddr",
        "spec",
        "tx_second",
        "tx_seen",
    )

    def __init__(self, spec: BackendSpec, row: int, *, live: bool = True) -> None:
        self.row = row
        self.live = live
        self.discovered = True
        self.full = False
        self.held = False
        self.share = 1.0
        self.ignored = False  # for a negative weight or priority
        self.family = 0
        self.sockaddr: Any | None = None
        self.rx_second = self.tx_second = 0
        self.rx_seen = self.tx_seen = 0  # the byte counters at the last tick
        self.moved: Callable[[Backend], None] | None = None  # the algorithm that wants to hear of a changed ACTIVE
        self.address = spec.address
        self.describe(spec)

    def describe(self, spec: BackendSpec) -> None:
        """Take over what discovery says now; host and port are the same."""
        self.spec = spec
        self.limit = spec.max_connections if spec.max_connections > 0 else sys.maxsize

    @property
    def host(self) -> str:
        return self.spec.host

    @property
    def port(self) -> int:
        return self.spec.port

    @property
    def weight(self) -> int:
        return self.spec.weight

    @property
    def priority(self) -> int:
        return self.spec.priority

    @property
    def max_connections(self) -> int:
        return self.spec.max_connections

    @property
    def sni(self) -> str:
        return self.spec.sni

    @property
    def label(self) -> tuple[str, str]:
        """Whom it is meant for: (sni, alpn)."""
        return self.spec.sni, self.spec.alpn

    @property
    def key(self) -> tuple[str, int]:
        return self.spec.key

    def __repr__(self) -> str:
        states = {
            "dead": not self.live,
            "gone": not self.discovered,
            "held": self.held,
            "unresolved": self.sockaddr is None,
            "full": self.full,
        }
        return f"<Backend {self.address}{''.join(f' {name}' for name, holds in states.items() if holds)}>"
