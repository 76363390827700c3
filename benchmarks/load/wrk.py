"""wrk: HTTP requests over connections that stay open, with TLS."""

import re
import subprocess
from dataclasses import dataclass

from benchmarks.net import Address

MORE = 60.0  # seconds after which a run counts as hung, beside its own
MICROSECONDS = {"us": 1.0, "ms": 1e3, "s": 1e6, "m": 6e7}


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests answered, how many of them a second, and percentiles of the time to the answer in microseconds."""

    count: int
    rate: float
    p50: float
    p99: float


def run(address: Address, clients: int, seconds: float) -> Requests:
    """Sends requests for so many seconds (whole ones: wrk knows no others), one in flight on each connection.

    Raises:
        ValueError: some of them failed, or wrk printed nothing of the kind.
        subprocess.SubprocessError: wrk gave up, or hung.
    """
    seconds = max(1, round(seconds))
    command = ["wrk", "-t1", f"-c{clients}", f"-d{seconds}s", "--latency", f"https://{address}/"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=seconds + MORE).stdout
    return parse(printed)


def parse(printed: str) -> Requests:
    """What wrk printed, after making sure that every request was answered with 2xx or 3xx."""
    bad = re.search(r"(Socket errors|Non-2xx).*", printed)
    count = re.search(r"(\d+) requests in ", printed)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", printed)
    times = {percent: _time(printed, percent) for percent in (50, 99)}
    if bad or not (count and rate and int(count[1]) and all(times.values())):
        raise ValueError(f"wrk: {bad[0] if bad else printed}")
    return Requests(int(count[1]), float(rate[1]), times[50], times[99])


def _time(printed: str, percent: int) -> float:
    """A percentile in microseconds; 0.0 where it is not printed."""
    found = re.search(rf"^\s+{percent}%\s+([\d.]+)(us|ms|s|m)$", printed, re.MULTILINE)
    return float(found[1]) * MICROSECONDS[found[2]] if found else 0.0
