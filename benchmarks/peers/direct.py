"""No proxy at all: what the generators and the backends can do by themselves."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.backends import KINDS
from benchmarks.peers.contract import Backends, Peer, Proxy


class Direct(Peer):
    """Clients connect to the first backend."""

    name = "direct"

    def missing(self) -> str:
        return ""

    def version(self) -> str:
        return ""

    def serves(self, kinds: Collection[str]) -> bool:
        return not any(kind == "proxied" or KINDS[kind].terminated for kind in kinds)  # clients speak otherwise

    @contextmanager
    def running(self, backends: Backends, cpus: frozenset[int], directory: Path) -> Iterator[Proxy]:
        yield Proxy({kind: addresses[0] for kind, addresses in backends.items()}, pid=None)


DIRECT = Direct()
