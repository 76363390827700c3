from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from benchmarks.cases import Case
from benchmarks.cases.contract import PlacementKind
from benchmarks.peers import Peer, Proxy
from benchmarks.peers.contract import Backends
from benchmarks.run import Bench
from benchmarks.summary import Metric, Sample


class Named(Peer):
    """A peer that writes down when it starts and ends."""

    def __init__(self, name: str, events: list[str]) -> None:
        self.name = name
        self._events = events

    def missing(self) -> str:
        return ""

    def version(self) -> str:
        return ""

    @contextmanager
    def running(self, backends: Backends, cpus: frozenset[int], directory: Path) -> Iterator[Proxy]:
        self._events.append(f"+{self.name}")
        yield Proxy({}, None)
        self._events.append(f"-{self.name}")


class Recording(Case):
    """A case that writes down what is asked of it."""

    name = title = "recording"
    kinds = ()
    metrics = (Metric("n", "n"),)
    placement: PlacementKind = "free"

    def __init__(self, events: list[str], *, fresh: bool) -> None:
        self.fresh = fresh
        self._events = events

    def prepare(self, peer: str, proxy: Proxy) -> None:
        self._events.append(f"prepare {peer}")

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        self._events.append(peer)
        return {"n": len(self._events)}


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench({}, {}, tmp_path, rounds=3, seconds=0.0, placement=None, progress=lambda what: None)


def test_peers_are_measured_in_turn_and_each_round_begins_with_the_next(bench: Bench) -> None:
    events: list[str] = []
    measured = bench.run(Recording(events, fresh=False), [Named(name, events) for name in "abc"])
    starts = ["+a", "prepare a", "+b", "prepare b", "+c", "prepare c"]
    assert events == [*starts, *"abc", *"bca", *"cab", "-c", "-b", "-a"]
    assert {name: len(samples) for name, samples in measured.items()} == {"a": 3, "b": 3, "c": 3}


def test_a_case_that_wants_fresh_processes_gets_one_per_measurement(bench: Bench) -> None:
    events: list[str] = []
    bench.run(Recording(events, fresh=True), [Named("a", events)])
    assert events == ["+a", "prepare a", "a", "-a"] * 3
