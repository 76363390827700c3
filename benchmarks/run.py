"""Takes the peers in turn through the cases."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cases import Case
from benchmarks.cpu import Placement, on_cpus, placement, realtime
from benchmarks.peers import Peer, Proxy
from benchmarks.peers.contract import Backends
from benchmarks.summary import Sample

Rounds = dict[str, list[Sample]]  # peer name -> a sample per round


@dataclass(frozen=True)
class Bench:
    """Where and how long.

    Attributes:
        backends: kind -> the addresses that its server listens on.
        backend_pids: kind -> the server's pid.
        directory: for the files of the peers.
        rounds: measurements of each peer in each case.
        seconds: length of a measurement.
        placement: for all cases, instead of the one that a case asks for.
        progress: told what begins.
    """

    backends: Backends
    backend_pids: Mapping[str, int]
    directory: Path
    rounds: int
    seconds: float
    placement: str | None
    progress: Callable[[str], None]

    def run(self, case: Case, peers: Sequence[Peer]) -> Rounds:
        """Every peer's samples of the case. Each round measures all of them, and begins with another one."""
        measured: Rounds = {peer.name: [] for peer in peers}
        where = placement(self.placement or case.placement)
        with ExitStack() as stack:
            for pid in (0, *self.backend_pids.values()):
                stack.enter_context(on_cpus(pid, where.rest))
            for kind in case.urgent:
                stack.enter_context(realtime(self.backend_pids[kind]))
            proxies: Mapping[str, Proxy] = {}
            if not case.fresh:
                proxies = {peer.name: stack.enter_context(self._prepared(case, peer, where)) for peer in peers}
            for number in range(self.rounds):
                for peer in _rotated(peers, number):
                    self.progress(f"{case.name}: round {number + 1} of {self.rounds}, {peer.name}")
                    if case.fresh:
                        with self._prepared(case, peer, where) as proxy:
                            sample = case.measure(peer.name, proxy, self.seconds)
                    else:
                        sample = case.measure(peer.name, proxies[peer.name], self.seconds)
                    measured[peer.name].append(sample)
        return measured

    @contextmanager
    def _prepared(self, case: Case, peer: Peer, where: Placement) -> Iterator[Proxy]:
        with peer.running(self.backends, where.proxy, self.directory) as proxy:
            case.prepare(peer.name, proxy)
            yield proxy


def _rotated(peers: Sequence[Peer], by: int) -> list[Peer]:
    start = by % len(peers)
    return [*peers[start:], *peers[:start]]
