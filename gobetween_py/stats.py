"""The figures of servers and backends at one moment, and gobetween's JSON of them.

rx is what comes from a backend, tx what goes to it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NotRequired

from typing_extensions import TypedDict

from balancer import ACTIVE, REFUSED, RX, TOTAL, TX, Backend
from gobetween_py.server import Server


class BackendCounts(TypedDict):
    """What is counted of a backend. rx and tx are bytes, the _second ones over the last second."""

    live: bool
    discovered: bool
    total_connections: int
    active_connections: int
    refused_connections: int
    rx: int
    tx: int
    rx_second: int
    tx_second: int


class BackendStats(TypedDict):
    """A backend: what it is, and what is counted. 0 connections at most and empty texts are left out."""

    host: str
    port: str
    priority: int
    weight: int
    max_connections: NotRequired[int]
    sni: NotRequired[str]
    proxy_protocol: NotRequired[str]
    stats: BackendCounts


class Totals(TypedDict):
    """What is counted of a server."""

    active_connections: int
    rx_total: int
    tx_total: int
    rx_second: int
    tx_second: int


class ServerStats(Totals):
    """A server's totals, and its backends."""

    backends: list[BackendStats]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A server's figures, which do not change while they are written out a piece at a time.

    Attributes:
        values: a copy of the counters of all servers.
        row: of the server's own counters.
        retired_rx, retired_tx: bytes of backends that are listed no more.
    """

    server: Server
    values: array[int]
    row: int
    backends: tuple[Backend, ...]
    retired_rx: int
    retired_tx: int

    @property
    def name(self) -> str:
        """The server's."""
        return self.server.name

    @property
    def active(self) -> int:
        """Open connections."""
        return self.values[self.row + ACTIVE]

    @property
    def accepted(self) -> int:
        """Clients that were accepted, not counting those whom access rules or limits turned away."""
        return self.values[self.row + TOTAL]

    @property
    def rx_total(self) -> int:
        """Bytes from all backends there ever were."""
        return self.retired_rx + sum(self.values[backend.row + RX] for backend in self.backends)

    @property
    def tx_total(self) -> int:
        """Bytes to all backends there ever were."""
        return self.retired_tx + sum(self.values[backend.row + TX] for backend in self.backends)

    @property
    def rx_second(self) -> int:
        """Bytes from backends over the last second."""
        return sum(backend.rx_second for backend in self.backends)

    @property
    def tx_second(self) -> int:
        """Bytes to backends over the last second."""
        return sum(backend.tx_second for backend in self.backends)

    def totals(self) -> Totals:
        """The server's part of its stats."""
        return {
            "active_connections": self.active,
            "rx_total": self.rx_total,
            "tx_total": self.tx_total,
            "rx_second": self.rx_second,
            "tx_second": self.tx_second,
        }

    def of_backends(self) -> Iterator[BackendStats]:
        """The backends' part."""
        return (self.of(backend) for backend in self.backends)

    def of(self, backend: Backend) -> BackendStats:
        """The stats of one of the backends."""
        spec, values, row = backend.spec, self.values, backend.row
        stats: BackendStats = {
            "host": spec.host,
            "port": str(spec.port),
            "priority": spec.priority,
            "weight": spec.weight,
            "stats": {
                "live": backend.live,
                "discovered": backend.discovered,
                "total_connections": values[row + TOTAL],
                "active_connections": values[row + ACTIVE],
                "refused_connections": values[row + REFUSED],
                "rx": values[row + RX],
                "tx": values[row + TX],
                "rx_second": backend.rx_second,
                "tx_second": backend.tx_second,
            },
        }
        if spec.max_connections:
            stats["max_connections"] = spec.max_connections
        if spec.sni:
            stats["sni"] = spec.sni
        if spec.proxy_protocol:
            stats["proxy_protocol"] = spec.proxy_protocol
        return stats


def snapshots(servers: Iterable[Server]) -> list[Snapshot]:
    """All at the same moment, of the servers that have started."""
    started = [server for server in servers if server.listener is not None]
    values = started[0].counters.values[:] if started else array("q")
    return [
        Snapshot(
            server,
            values,
            server.listener.row if server.listener is not None else 0,
            server.pool.backends,
            server.pool.retired_rx,
            server.pool.retired_tx,
        )
        for server in started
    ]
