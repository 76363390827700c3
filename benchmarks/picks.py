"""What a pick costs, for each algorithm, among 10 and among 10,000 backends: `python -m benchmarks.picks`."""

import socket
import statistics
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import count, cycle, islice, pairwise
from time import thread_time

from balancer import BackendSpec, Counters, Pool, load, names
from benchmarks import machine

SIZES = (10, 10_000)
ROUNDS = 7
ROUND_SECONDS = 0.02
KNOWN = 200

METHOD = f"""\
CPU time of the thread; medians of {ROUNDS} rounds of {ROUND_SECONDS * 1000:.0f} ms, the loop around the call included.
  known       µs of the algorithm alone, for one of {KNOWN:,} clients seen before
  new         µs of the algorithm alone, for a client never seen
  connection  µs of Pool.acquire and Pool.release, clients seen before
  half full   the same with every other backend at its max_connections
  limit 1     the same with max_connections = 1 everywhere: each connection fills a backend, its end empties it
  change      ms that the next pick waits for when a backend died or came back
  later       ms of work that Pool.pending has left after that
  step        ms of the longest step of that work"""

NOTES = {
    "iphash": "O(n) by definition once a backend filled up or emptied: the list is filtered before the next pick",
    "iphash1": "O(n) by definition for a client not seen since the last change, or whose backend is full",
}

COUNTERS = Counters()

Loop = Callable[[Sequence[str]], None]
"""Does the same for each of these clients."""


def main() -> None:
    described = machine.describe({})
    print(*(f"{name}: {described[name]}" for name in ("CPU", "kernel", "Python")), "", METHOD, sep="\n")
    for size in SIZES:
        print(
            f"\n{f'{size:,} backends':<16}     known       new connection half full   limit 1   change   later    step"
        )
        for algorithm in names():
            picks = "".join(f"{value:10.2f}" for value in pick_times(algorithm, size))
            changes = "".join(f"{value:8.2f}" for value in change_times(algorithm, size))
            print(f"{algorithm:<16}{picks} {changes}{'  *' if algorithm in NOTES else ''}", flush=True)
        first, same, one, tick = update_times(size)
        print(
            f"Pool.update: {first:.2f} ms at first, {same:.2f} ms for an equal answer, {one:.2f} ms with one exchanged"
        )
        print(f"Pool.tick:   {tick:.2f} ms")
    print("", *(f"* {name}: {note}" for name, note in NOTES.items()), sep="\n")


def pick_times(algorithm: str, size: int) -> Iterator[float]:
    """Microseconds: known, new, connection, half full, limit 1."""
    pool = filled(algorithm, specs(size))
    alone = load(algorithm)(COUNTERS.values)
    alone.rebuild(pool.backends)
    for _ in alone.pending():
        pass
    seen = cycle([*islice(addresses(), KNOWN)])
    yield microseconds(choosing(alone.choose), seen)
    yield microseconds(choosing(alone.choose), addresses(KNOWN))
    yield microseconds(connecting(pool), seen)
    yield microseconds(connecting(half_full(algorithm, size)), seen)
    yield microseconds(connecting(filled(algorithm, specs(size, limited=1))), seen)


def change_times(algorithm: str, size: int) -> Iterator[float]:
    """Milliseconds: change, later, step."""
    pool = filled(algorithm, specs(size))
    rounds = []
    for live in (False, True) * 4:
        pool.set_live(pool.backends[size // 2], live)
        began = thread_time()
        work = pool.pending
        steps = [thread_time(), *(thread_time() for _ in work)]
        longest = max((after - before for before, after in pairwise(steps)), default=0.0)
        rounds.append((steps[0] - began, steps[-1] - steps[0], longest))
    return (statistics.median(column) * 1e3 for column in zip(*rounds, strict=True))


def update_times(size: int) -> Iterator[float]:
    """Milliseconds: the first update, an equal answer, an answer with one backend exchanged, a tick."""
    pool = Pool("weight", COUNTERS)
    answers = specs(size), specs(size), [*specs(size)[1:], BackendSpec("10.255.0.1", 8080)]
    calls: list[Callable[[], object]] = [*(partial(pool.update, answer) for answer in answers), partial(pool.tick, 1)]
    for call in calls:
        began = thread_time()
        call()
        yield (thread_time() - began) * 1e3


def microseconds(loop: Loop, clients: Iterator[str]) -> float:
    """Time per client of a loop over as many clients as it takes to fill a round."""
    timed(loop, [*islice(clients, KNOWN)])
    calls = 8
    while (seconds := timed(loop, [*islice(clients, calls)])) < ROUND_SECONDS / 2:
        calls = int(calls * min(8, ROUND_SECONDS / seconds)) + 1
    return statistics.median(timed(loop, [*islice(clients, calls)]) for _ in range(ROUNDS)) / calls * 1e6


def timed(loop: Loop, clients: Sequence[str]) -> float:
    began = thread_time()
    loop(clients)
    return thread_time() - began


def choosing(choose: Callable[[str], object]) -> Loop:
    """Picks by the algorithm alone."""

    def loop(clients: Sequence[str]) -> None:
        for client in clients:
            choose(client)

    return loop


def connecting(pool: Pool) -> Loop:
    """Connections that are over at once."""
    acquire, release = pool.acquire, pool.release

    def loop(clients: Sequence[str]) -> None:
        for client in clients:
            backend = acquire(client)
            assert backend is not None
            release(backend)

    return loop


def filled(algorithm: str, wanted: Sequence[BackendSpec]) -> Pool:
    """A pool of these backends, resolved, with nothing pending."""
    pool = Pool(algorithm, COUNTERS)
    for backend in pool.update(wanted).added:
        pool.set_resolved(backend, socket.AF_INET, (backend.host, backend.port))
    for _ in pool.pending:
        pass
    return pool


def half_full(algorithm: str, size: int) -> Pool:
    """A pool whose backends had an open connection each when a limit of 1 came for every other one."""
    pool = filled(algorithm, specs(size))
    for backend in pool.backends:
        COUNTERS.values[backend.row] = 1
    pool.update(specs(size, limited=2))
    for _ in pool.pending:
        pass
    return pool


def specs(size: int, limited: int = 0) -> list[BackendSpec]:
    """Backends with weights 1 to 5, every `limited`-th with a max_connections of 1."""
    return [
        BackendSpec(f"10.0.{i >> 8}.{i & 255}", 8080, i % 5 + 1, 1, 1 if limited and i % limited == 0 else 0)
        for i in range(size)
    ]


def addresses(start: int = 0) -> Iterator[str]:
    """IPv4 clients, no two alike, spread over the address space."""
    return (".".join(map(str, (i * 2654435761 % 2**32).to_bytes(4, "big"))) for i in count(start))


if __name__ == "__main__":
    main()
