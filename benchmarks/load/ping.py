"""redis PING over one connection, every round trip timed to the nanosecond.

redis-benchmark counts latencies in steps of 8 µs, too coarse for one client.
`python -m benchmarks.load.ping HOST:PORT SECONDS` prints the figures as JSON. It runs with real-time priority if it
may, for callers who load the same CPU with other things.
"""

import dataclasses
import json
import math
import socket
import sys
import time
from array import array
from collections.abc import Callable, Sequence

from benchmarks.cpu import realtime
from benchmarks.load.redis_benchmark import Pings
from benchmarks.net import Address, parse_address

PING = b"*1\r\n$4\r\nPING\r\n"
PONG = b"+PONG\r\n"


def run(address: Address, go_on: Callable[[int], bool]) -> Pings:
    """Sends PINGs one after the other while `go_on(number so far)` holds.

    Raises:
        ConnectionError: something other than PONG came back.
    """
    nanoseconds = array("q")
    clock = time.perf_counter_ns
    with socket.create_connection(address, timeout=10) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.settimeout(None)
        started = clock()
        while go_on(len(nanoseconds)):
            sent = clock()
            connection.sendall(PING)
            answer = connection.recv(64)
            nanoseconds.append(clock() - sent)
            if answer != PONG:
                raise ConnectionError(f"{address} answered {answer!r} to PING")
        seconds = (clock() - started) / 1e9
    ranked = sorted(nanoseconds)
    return Pings(len(ranked) / seconds, percentile(ranked, 50) / 1e3, percentile(ranked, 99) / 1e3)


def percentile(ranked: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ascending values: the least one that `percent` per cent of them do not exceed."""
    return ranked[max(0, math.ceil(len(ranked) * percent / 100) - 1)]


def main(where: str, seconds: str) -> None:
    address = parse_address(where)
    with realtime(0):
        until = time.monotonic() + float(seconds)
        print(json.dumps(dataclasses.asdict(run(address, lambda _: time.monotonic() < until))))


if __name__ == "__main__":
    main(*sys.argv[1:])
