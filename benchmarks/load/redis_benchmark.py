"""redis-benchmark, sending PING and awaiting PONG on each of its connections."""

import csv
import subprocess
from dataclasses import dataclass

from benchmarks.net import Address

PATIENCE = 120.0  # seconds until a run counts as hung


@dataclass(frozen=True, slots=True)
class Pings:
    """Messages per second, and percentiles of the round trip in microseconds (in steps of 8 µs below 1 ms)."""

    rate: float
    p50: float
    p99: float


def run(address: Address, messages: int, clients: int) -> Pings:
    """Sends `messages` PINGs over `clients` connections, one in flight on each.

    Raises:
        ValueError: redis-benchmark printed no row of figures.
        subprocess.SubprocessError: it gave up, or hung.
    """
    where = ["-h", address.host, "-p", str(address.port)]
    command = ["redis-benchmark", *where, "-t", "ping_mbulk", "-n", str(messages), "-c", str(clients), "--csv"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    return parse(printed)


def parse(printed: str) -> Pings:
    """The one row that redis-benchmark --csv prints (latencies in ms with three decimals)."""
    rows = list(csv.DictReader(printed.splitlines()))
    if len(rows) != 1:
        raise ValueError(f"redis-benchmark printed {len(rows)} rows of figures: {printed!r}")
    row = rows[0]
    return Pings(float(row["rps"]), 1000 * float(row["p50_latency_ms"]), 1000 * float(row["p99_latency_ms"]))
