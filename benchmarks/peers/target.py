"""Any other program that already runs: its address and pid are given."""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cpu import on_cpus
from benchmarks.net import Address, parse_address
from benchmarks.peers.contract import Backends, Peer, Proxy


@dataclass(frozen=True)
class Target(Peer):
    """A program that the user started in front of our backends; it has a front only for the kinds that were named."""

    name: str
    fronts: dict[str, Address]
    pid: int

    def serves(self, kinds: Collection[str]) -> bool:
        return all(kind in self.fronts for kind in kinds)

    def missing(self) -> str:
        return "" if Path(f"/proc/{self.pid}").exists() else f"there is no process {self.pid}"

    def version(self) -> str:
        return Path(f"/proc/{self.pid}/cmdline").read_text().replace("\0", " ").strip()

    @contextmanager
    def running(self, backends: Backends, cpus: frozenset[int], directory: Path) -> Iterator[Proxy]:
        with on_cpus(self.pid, cpus):
            yield Proxy(self.fronts, self.pid)


@dataclass(frozen=True, slots=True)
class TargetArgument:
    """One --target: `name=host:port,pid`, or `name/kind=host:port,pid` for one kind of backend (empty = every kind)."""

    name: str
    kind: str
    address: Address
    pid: int


def parse_target(text: str) -> TargetArgument:
    """The argument's parts.

    Raises:
        ValueError: the text has another form.
    """
    label, equals, rest = text.partition("=")
    where, comma, pid = rest.rpartition(",")
    name, _, kind = label.partition("/")
    if not (equals and comma and name and pid.isdecimal()):
        raise ValueError(f"{text!r} is not name=host:port,pid or name/kind=host:port,pid")
    return TargetArgument(name, kind, parse_address(where), int(pid))


def targets(arguments: Iterable[TargetArgument], kinds: Collection[str]) -> list[Target]:
    """One Target per name: the arguments of a name together, of which all must have the same pid.

    Raises:
        ValueError: a kind is none of `kinds`, or a name has two pids.
    """
    found: dict[str, Target] = {}
    for argument in arguments:
        if argument.kind and argument.kind not in kinds:
            raise ValueError(f"target {argument.name}: {argument.kind!r} is not a kind of backend ({', '.join(kinds)})")
        target = found.setdefault(argument.name, Target(argument.name, {}, argument.pid))
        if target.pid != argument.pid:
            raise ValueError(f"target {argument.name} has two pids, {target.pid} and {argument.pid}")
        target.fronts.update(dict.fromkeys([argument.kind] if argument.kind else kinds, argument.address))
    return list(found.values())
