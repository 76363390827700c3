"""Ten thousand backends in one answer: how long, how much CPU, and what a connection notices of it."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.cpu import realtime
from benchmarks.discovery.change import first_connection, settle
from benchmarks.discovery.pingpong import Latency, playing
from benchmarks.discovery.running import Running, running
from benchmarks.discovery.sources import Source
from benchmarks.summary import Figure, figure

INTERVAL = "50ms"
"""Of kinds that do not push: waiting for the next fetch is not what is measured here."""

AFTER = 0.3
"""Seconds after the first connection in which the rest of the work is done."""

SEEN = 0.005
"""Seconds between two looks at who answers."""

SMALL, LARGE, OTHER = 1, 2, 3
"""Generations: one backend, and twice as many as asked for."""


@dataclass(frozen=True, slots=True)
class Many:
    """One kind of change.

    Attributes:
        what: for instance "1 to 10,000".
        time: milliseconds to the first connection to one of the new backends.
        source: of that, until the source says that it is done.
        cpu: milliseconds of the balancer until AFTER seconds later.
        during: a ping-pong connection in that time; the rounds taken together.
        before: the same connection in a time just as long before it.
    """

    what: str
    time: Figure
    source: Figure
    cpu: Figure
    during: Latency
    before: Latency


def measure(source: Source, count: int, rounds: int, balance: str) -> list[Many]:
    """From one backend to `count`, and from those to as many others. The source has been started."""
    count = min(count, source.most)
    steps = [(f"1 to {count:,}", LARGE, count), (f"{count:,} to others", OTHER, count)]
    source.prepare(SMALL, 1)()
    with running(source, interval="" if source.seen == "pushed" else INTERVAL, balance=balance) as it:
        alone = [_round(source, it, steps) for _ in range(rounds)]
        played = [_played(source, it, steps) for _ in range(rounds)]
    measured = []
    for number, (what, _, _) in enumerate(steps):
        times, told, cpu = ([sample[number][column] * 1e3 for sample in alone] for column in range(3))
        during, before = (_worst([sample[number][column] for sample in played]) for column in range(2))
        measured.append(Many(what, figure(times), figure(told), figure(cpu), during, before))
    return measured


Steps = list[tuple[str, int, int]]


def _round(
    source: Source, it: Running, steps: Steps, note: Callable[[float, float], object] = lambda start, end: None
) -> list[tuple[float, float, float]]:
    """(seconds, the source's part, CPU seconds) of each step; `note` is told when it began and ended (monotonic)."""
    source.prepare(SMALL, 1)()
    settle(source, it, SMALL)
    taken = []
    for _, generation, count in steps:
        change = source.prepare(generation, count)
        time.sleep(1.0)  # what that gave the source to do is over
        began, cpu = time.monotonic(), it.cpu_seconds()
        seconds, told = first_connection(source, it, change, generation, SEEN)
        time.sleep(AFTER)
        taken.append((seconds, told, it.cpu_seconds() - cpu))
        note(began, began + seconds + AFTER)
    return taken


def _played(source: Source, it: Running, steps: Steps) -> list[tuple[Latency, Latency]]:
    """The latencies during each step, and before it."""
    spans: list[tuple[float, float]] = []
    # At real-time priority, where that may be: what else the machine does is not to be measured.
    with realtime(it.balancer.pid), playing(it.ping_port, it.ping_backend) as game:
        _round(source, it, steps, lambda start, end: spans.append((start, end)))
        game.end()
        return [(game.latency(start, end), game.latency(start - (end - start), start)) for start, end in spans]


def _worst(rounds: list[Latency]) -> Latency:
    """The greatest of each figure."""
    return Latency(
        max(one.p50 for one in rounds),
        max(one.p99 for one in rounds),
        max(one.longest for one in rounds),
        sum(one.count for one in rounds),
    )
