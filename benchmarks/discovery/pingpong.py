"""One byte there and back over one connection through the balancer, again and again.

This process is the client and the backend at once, so that nobody but the balancer stands between the two.
`python -m benchmarks.discovery.pingpong FRONT BACK` (ports of 127.0.0.1) connects to FRONT, accepts at BACK, writes an
empty line when both are there, and plays until its standard input ends. Then it writes pairs of native 64-bit integers:
when a ball was sent (monotonic clock) and how long it was under way, in nanoseconds.
"""

import select
import socket
import subprocess
import sys
import time
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.cpu import realtime
from benchmarks.load.ping import percentile

CHECK = 256
"""Balls between two looks at the standard input."""

PAUSE = 0.0005
"""Seconds between two balls. Without a pause this process and the balancer, at real-time priority on one CPU, take all
of it, and Linux then stops both for 50 ms of each second, so that others live."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds of the balls within some time."""

    p50: float
    p99: float
    longest: float
    count: int


class Game:
    """A process that plays; `end` before `latency`."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._balls: array[int] = array("q")

    def end(self) -> None:
        self._balls.frombytes(self._process.communicate()[0])

    def latency(self, start: float, end: float) -> Latency:
        """Of the balls that were under way between two times of the monotonic clock, in seconds."""
        sent, took = self._balls[::2], self._balls[1::2]
        low, high = start * 1e9, end * 1e9
        found = sorted(t for s, t in zip(sent, took, strict=True) if s + t >= low and s <= high)
        if not found:
            raise ValueError("no ball was under way")
        return Latency(percentile(found, 50) / 1e6, percentile(found, 99) / 1e6, found[-1] / 1e6, len(found))


@contextmanager
def playing(front: int, back: int) -> Iterator[Game]:
    """A game between two ports, which has begun."""
    command = [sys.executable, "-m", "benchmarks.discovery.pingpong", str(front), str(back)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"\n":
                raise ConnectionError("the ping-pong connection was not made")
            yield Game(process)
        finally:
            process.kill()


def main(front: int, back: int) -> None:
    with (
        socket.create_server(("127.0.0.1", back)) as listener,
        socket.create_connection(("127.0.0.1", front), timeout=10) as client,
        listener.accept()[0] as backend,
        realtime(0),
    ):
        for end in client, backend:
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            end.settimeout(None)
        sys.stdout.buffer.write(b"\n")
        sys.stdout.buffer.flush()
        balls: array[int] = array("q")
        while not select.select([sys.stdin], [], [], 0)[0]:
            play(client, backend, balls)
    sys.stdout.buffer.write(balls.tobytes())


def play(client: socket.socket, backend: socket.socket, balls: "array[int]") -> None:
    """CHECK balls."""
    clock, add = time.monotonic_ns, balls.append
    for _ in range(CHECK):
        time.sleep(PAUSE)
        sent = clock()
        client.send(b"x")
        backend.recv(1)
        backend.send(b"x")
        client.recv(1)
        add(sent)
        add(clock() - sent)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
