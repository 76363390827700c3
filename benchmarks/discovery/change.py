"""From a change at the source to the first connection to the new backend."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.discovery.running import Running, running
from benchmarks.discovery.sources import Source
from benchmarks.summary import Figure, figure

INTERVAL = 1.0
"""Seconds between the fetches of polled kinds."""

PROBE = 0.002
"""Seconds between two connections that look who answers."""

PATIENCE = 30.0


@dataclass(frozen=True, slots=True)
class Change:
    """Milliseconds over the rounds.

    Attributes:
        time: from the moment the source is told, to the first connection that the new backend answers.
        source: of that, until the source says that it is done.
        cpu: of the balancer, in a window with one change and one connection.
        idle: the same in a window without the change.
        window: length of the windows, in seconds.
    """

    time: Figure
    source: Figure
    cpu: Figure
    idle: Figure
    window: float


def measure(source: Source, rounds: int) -> Change:
    """Changes a source, which has been started, again and again: one backend goes, another comes."""
    source.prepare(1, 1)()
    with running(source, interval=f"{INTERVAL:g}s" if source.seen == "interval" else "") as it:
        settle(source, it, 1)
        generation, times, told = 1, [], []
        for _ in range(rounds):
            generation += 1
            change = source.prepare(generation, 1)
            time.sleep(random.random() * INTERVAL)  # anywhere between two fetches
            seconds, taken = first_connection(source, it, change, generation)
            times.append(seconds * 1e3)
            told.append(taken * 1e3)
            settle(source, it, generation)
        window = 1.0 if source.seen == "pushed" else 2.5 * INTERVAL
        with_change, without = [], []
        for _ in range(rounds):
            generation += 1
            change = source.prepare(generation, 1)
            without.append(_cpu(source, it, lambda: None, window, generation - 1))
            with_change.append(_cpu(source, it, change, window, generation))
    return Change(figure(times), figure(told), figure(with_change), figure(without), window)


def first_connection(
    source: Source, it: Running, change: Callable[[], object], generation: int, probe: float = PROBE
) -> tuple[float, float]:
    """Seconds from the beginning of the change to a connection to the generation, and to the end of the change."""
    took = 0.0
    failed: list[BaseException] = []
    began = time.perf_counter()

    def run() -> None:
        nonlocal took
        try:
            change()
        except BaseException as error:
            failed.append(error)
        took = time.perf_counter() - began

    thread = threading.Thread(target=run)  # takes the network of this one with it
    thread.start()
    try:
        while not source.serves(it.port, generation):
            if failed or time.perf_counter() > began + PATIENCE:
                break
            time.sleep(probe)
        seconds = time.perf_counter() - began
    finally:
        thread.join()
    if failed:
        raise failed[0]
    if seconds > PATIENCE:
        raise TimeoutError(f"{source.name}: no connection to the new backend; the log:\n{it.balancer.log_tail()}")
    return seconds, took


def settle(source: Source, it: Running, generation: int) -> None:
    """Waits until nobody else answers any more."""
    deadline, in_a_row = time.perf_counter() + PATIENCE, 0
    while in_a_row < 10:
        in_a_row = in_a_row + 1 if source.serves(it.port, generation) else 0
        if time.perf_counter() > deadline:
            raise TimeoutError(f"{source.name}: others go on answering; the log:\n{it.balancer.log_tail()}")
        time.sleep(0.01)


def _cpu(source: Source, it: Running, change: Callable[[], object], window: float, generation: int) -> float:
    """Milliseconds of CPU until the window is over and one connection went to the generation."""
    began, before = time.perf_counter(), it.cpu_seconds()
    change()
    time.sleep(max(0.0, began + window - time.perf_counter()))
    seen = source.serves(it.port, generation)
    used = it.cpu_seconds() - before
    if not seen:
        raise TimeoutError(f"{source.name}: {window:.1f} s after the change the new backend does not answer")
    return used * 1e3
