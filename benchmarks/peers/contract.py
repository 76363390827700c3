"""What a peer is: something with a name that, while it runs, has a front for each kind of backend."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cpu import process_cpu_seconds
from benchmarks.memory import anonymous_bytes
from benchmarks.net import Address

Backends = Mapping[str, Sequence[Address]]


@dataclass(frozen=True, slots=True)
class Proxy:
    """A running proxy: where clients connect for each kind of backend, and its pid (None = there is no process)."""

    fronts: Mapping[str, Address]
    pid: int | None

    def cpu_seconds(self) -> float:
        """CPU seconds of the process so far; 0.0 without a process."""
        return process_cpu_seconds(self.pid) if self.pid else 0.0

    def memory_bytes(self) -> int:
        """Bytes of memory of the process, mapped files left out; 0 without a process."""
        return anonymous_bytes(self.pid) if self.pid else 0


class Peer(ABC):
    """One of the proxies compared.

    Attributes:
        only: names of the cases that it takes part in; empty = all.
    """

    name: str
    only: Sequence[str] = ()

    def serves(self, kinds: Collection[str]) -> bool:
        """Whether it has a front for each of these kinds of backend."""
        return True

    @abstractmethod
    def missing(self) -> str:
        """Why it cannot be measured on this machine; empty if it can."""

    @abstractmethod
    def version(self) -> str:
        """Its version as printed by itself; empty if it has none."""

    @abstractmethod
    def running(self, backends: Backends, cpus: frozenset[int], directory: Path) -> AbstractContextManager[Proxy]:
        """Runs it in front of the backends, on `cpus`, with its files in `directory`, until the block ends."""
