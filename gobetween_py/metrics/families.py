"""A running App as Prometheus metric families, with gobetween's names where gobetween has them.

Every figure is read here, when it is asked for. gobetween calls all of its series gauges. Those that only grow are
counters here where their name ends in _total, as a counter's must, and untyped where it does not.
"""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, UnknownMetricFamily

from balancer import ACTIVE, REFUSED, RX, TOTAL, TX, Backend
from discovery.loop import Status as DiscoveryStatus
from gobetween_py import __version__
from gobetween_py.acme.issuance import Status as OrderStatus
from gobetween_py.healthcheck.condition import Condition
from gobetween_py.healthcheck.registry import NONE
from gobetween_py.metrics.counted import Counted, Histogram
from gobetween_py.metrics.lag import Lag
from gobetween_py.proxy.udp.listener import UdpListener
from gobetween_py.reload import Status as ReloadStatus
from gobetween_py.server import Server
from gobetween_py.stats import Snapshot, snapshots

PIECE = 64
"""Samples of a family in one piece: some 0.3 ms of work, writing them included."""

Source = TypeVar("Source")
Family = type[GaugeMetricFamily] | type[CounterMetricFamily] | type[UnknownMetricFamily]
Gauge, Grows, Untyped = GaugeMetricFamily, CounterMetricFamily, UnknownMetricFamily
Sample = tuple[Sequence[str], float]
"""(label values, value)"""


class Series(NamedTuple, Generic[Source]):
    """One figure that every `Source` has. The name of one that grows goes without its _total."""

    name: str
    family: Family
    help: str
    read: Callable[[Source], float]


SERVER: tuple[Series[Snapshot], ...] = (
    Series("gobetween_server_count", Untyped, "Backends that are listed.", lambda s: len(s.backends)),
    Series("gobetween_server_active_connections", Gauge, "Open connections.", lambda s: s.active),
    Series("gobetween_server_accepted_connections", Grows, "Connections accepted.", lambda s: s.accepted),
    Series("gobetween_server_rx", Grows, "Bytes from backends.", lambda s: s.rx_total),
    Series("gobetween_server_tx", Grows, "Bytes to backends.", lambda s: s.tx_total),
    Series("gobetween_server_rx_second", Gauge, "Bytes from backends over the last second.", lambda s: s.rx_second),
    Series("gobetween_server_tx_second", Gauge, "Bytes to backends over the last second.", lambda s: s.tx_second),
)

BACKEND: tuple[Series[tuple[Snapshot, Backend]], ...] = (
    Series(
        "gobetween_backend_active_connections", Gauge, "Open connections.", lambda b: b[0].values[b[1].row + ACTIVE]
    ),
    Series(
        "gobetween_backend_refused_connections",
        Untyped,
        "Connects that failed.",
        lambda b: b[0].values[b[1].row + REFUSED],
    ),
    Series(
        "gobetween_backend_total_connections",
        Untyped,
        "Connects that succeeded.",
        lambda b: b[0].values[b[1].row + TOTAL],
    ),
    Series("gobetween_backend_rx_bytes", Untyped, "Bytes from the backend.", lambda b: b[0].values[b[1].row + RX]),
    Series("gobetween_backend_tx_bytes", Untyped, "Bytes to the backend.", lambda b: b[0].values[b[1].row + TX]),
    Series(
        "gobetween_backend_rx_second", Gauge, "Bytes from the backend over the last second.", lambda b: b[1].rx_second
    ),
    Series(
        "gobetween_backend_tx_second", Gauge, "Bytes to the backend over the last second.", lambda b: b[1].tx_second
    ),
    Series("gobetween_backend_live", Gauge, "Whether the health checks call it live.", lambda b: b[1].live),
    Series("gobetween_backend_held", Gauge, "Whether it was taken out by hand.", lambda b: b[1].held),
)

HEALTH: tuple[Series[Condition], ...] = (
    Series("gobetween_healthcheck_runs", Grows, "Health checks.", lambda c: c.runs),
    Series("gobetween_healthcheck_failures", Grows, "Health checks that failed.", lambda c: c.failures),
    Series("gobetween_healthcheck_ejections", Grows, "Ejections by failed connects.", lambda c: c.ejection.count),
    Series(
        "gobetween_healthcheck_last_duration_seconds",
        Gauge,
        "How long the last health check took; 0 before the first.",
        lambda c: c.last.duration if c.last else 0.0,
    ),
)

DISCOVERY: tuple[Series[DiscoveryStatus], ...] = (
    Series("gobetween_discovery_fetches", Grows, "Fetches.", lambda s: s.fetches),
    Series("gobetween_discovery_failures", Grows, "Fetches that failed.", lambda s: s.failures),
    Series("gobetween_discovery_pushes", Grows, "Answers that the source pushed.", lambda s: s.pushes),
    Series("gobetween_discovery_failing", Gauge, "Whether the last fetch failed.", lambda s: s.failing),
    Series("gobetween_discovery_backends", Gauge, "Backends in the last good answer.", lambda s: s.backends),
    Series(
        "gobetween_discovery_skipped_entries",
        Gauge,
        "Bad entries of the last good answer, left out.",
        lambda s: s.skipped,
    ),
    Series(
        "gobetween_discovery_last_duration_seconds", Gauge, "How long the last fetch took.", lambda s: s.last_duration
    ),
    Series(
        "gobetween_discovery_last_success_timestamp_seconds",
        Gauge,
        "When the last good answer came; 0 = none did.",
        lambda s: s.last_success or 0.0,
    ),
)

ORDERS: tuple[Series[OrderStatus], ...] = (
    Series("gobetween_acme_issued", Grows, "Certificates that were ordered and came.", lambda s: s.issued),
    Series("gobetween_acme_failures", Grows, "Orders that failed.", lambda s: s.failures),
    Series("gobetween_acme_failing", Gauge, "Whether the last order failed.", lambda s: s.failing),
)

HISTOGRAMS: tuple[tuple[str, str, Callable[[Counted], Histogram]], ...] = (
    ("gobetween_server_connection_duration_seconds", "How long connections lasted.", lambda c: c.duration),
    ("gobetween_server_connect_duration_seconds", "From accept until a backend answered.", lambda c: c.connect),
    ("gobetween_server_connection_rx_bytes", "Bytes from the backend, of a whole connection.", lambda c: c.rx),
    ("gobetween_server_connection_tx_bytes", "Bytes to the backend, of a whole connection.", lambda c: c.tx),
)


def pieces(servers: Iterable[Server], reloads: ReloadStatus, lag: Lag) -> Iterator[Metric]:
    """All families. One with many samples comes in several pieces, one after the other, with the same name.

    All counters are read at the first piece, at once; between two pieces the event loop may do other work.
    """
    taken = snapshots(servers)
    yield from _of_process(reloads, lag)
    for totals in SERVER:
        yield from _family(totals, ["server"], (([s.name], totals.read(s)) for s in taken))
    yield from _of_connections(taken)
    yield _of_access_logs(taken)
    for backend in BACKEND:
        samples = (([s.name, b.host, str(b.port)], backend.read((s, b))) for s in taken for b in s.backends)
        yield from _family(backend, ["server", "host", "port"], samples)
    for health in HEALTH:
        yield from _family(health, ["server", "host", "port"], _of_conditions(taken, health))
    for status in DISCOVERY:
        of = ((s.name, s.server.config.discovery.kind, s.server.supply.discovery.status) for s in taken)
        yield from _family(status, ["server", "kind"], (([name, kind], status.read(found)) for name, kind, found in of))
    yield _of_certificates(taken)
    for orders in ORDERS:
        by_host = (([s.name, host], orders.read(found)) for s in taken for host, found in s.server.tls.orders.items())
        yield from _family(orders, ["server", "host"], by_host)


def _of_certificates(taken: Iterable[Snapshot]) -> Metric:
    ends = GaugeMetricFamily(
        "gobetween_certificate_expiry_timestamp_seconds",
        "When a certificate that clients are shown ends.",
        labels=["server", "names"],
    )
    for snapshot in taken:
        soonest: dict[str, float] = {}
        for certificate in snapshot.server.tls.certificates:  # of two for the same names, the one that ends first
            names = ",".join(sorted(certificate.names))
            soonest[names] = min(certificate.ends, soonest.get(names, certificate.ends))
        for names, moment in soonest.items():
            ends.add_metric([snapshot.name, names], moment)
    return ends


def _of_conditions(taken: Iterable[Snapshot], series: Series[Condition]) -> Iterator[Sample]:
    """Of the backends whose health somebody asks for."""
    for snapshot in taken:
        options = snapshot.server.config.healthcheck
        if options.kind != NONE or options.max_fails:
            conditions = snapshot.server.supply.health.conditions
            for backend in snapshot.backends:
                if condition := conditions.get(backend):
                    yield [snapshot.name, backend.host, str(backend.port)], series.read(condition)


def _of_process(reloads: ReloadStatus, lag: Lag) -> Iterator[Metric]:
    build = GaugeMetricFamily("gobetween_build_info", "Always 1: what runs.", labels=["version", "python"])
    build.add_metric([__version__, platform.python_version()], 1)
    outcomes = CounterMetricFamily("gobetween_reloads", "Reloads of the config.", labels=["outcome"])
    outcomes.add_metric(["success"], reloads.succeeded)
    outcomes.add_metric(["failure"], reloads.failed)
    last = GaugeMetricFamily("gobetween_reload_succeeded", "Whether the last reload did; 1 before the first.")
    last.add_metric([], reloads.last is None or reloads.last.succeeded)
    late = HistogramMetricFamily("gobetween_loop_lag_seconds", "How late timers of the event loop were.")
    late.add_metric([], [*lag.seconds.buckets()], lag.seconds.sum)
    return iter((build, outcomes, last, late))


def _of_connections(taken: Iterable[Snapshot]) -> Iterator[Metric]:
    """What is counted when a client is turned away, and when a connection ends."""
    refused = CounterMetricFamily(
        "gobetween_server_refused_clients", "Clients that got nothing, by cause.", labels=["server", "cause"]
    )
    ended = CounterMetricFamily(
        "gobetween_server_closed_connections", "Connections that ended, by reason.", labels=["server", "reason"]
    )
    retried = CounterMetricFamily(
        "gobetween_server_retries", "Connects beyond the first one of a client.", labels=["server"]
    )
    lost = CounterMetricFamily(
        "gobetween_server_lost_datagrams",
        "Datagrams of UDP servers for which there was no room, or that the kernel did not take.",
        labels=["server"],
    )
    for snapshot in taken:
        listener, counted = snapshot.server.listener, snapshot.server.counted
        assert listener is not None
        for cause, count in listener.refusals.items():
            refused.add_metric([snapshot.name, cause], count)
        for reason, count in counted.reasons.items():
            ended.add_metric([snapshot.name, reason], count)
        retried.add_metric([snapshot.name], counted.retries)
        if isinstance(listener, UdpListener):
            lost.add_metric([snapshot.name], listener.lost)
    yield from (refused, ended, retried, lost)
    for name, text, read in HISTOGRAMS:
        family = HistogramMetricFamily(name, text, labels=["server"])
        for snapshot in taken:
            histogram = read(snapshot.server.counted)
            family.add_metric([snapshot.name], [*histogram.buckets()], histogram.sum)
        yield family


def _of_access_logs(taken: Iterable[Snapshot]) -> Metric:
    dropped = CounterMetricFamily(
        "gobetween_access_log_dropped_lines",
        "Lines that were lost because the output was too slow or full.",
        labels=["output"],
    )
    writers = {log.writer for snapshot in taken if (log := snapshot.server.access_log)}
    lost: Counter[str] = Counter()
    for writer in writers:
        lost[writer.name] += writer.dropped
    for name, lines in lost.items():
        dropped.add_metric([name], lines)
    return dropped


def _family(series: Series[Source], labels: Sequence[str], samples: Iterable[Sample]) -> Iterator[Metric]:
    left = iter(samples)
    while some := [*islice(left, PIECE)]:
        family = series.family(series.name, series.help, labels=labels)
        for values, value in some:
            family.add_metric(values, value)
        yield family
