"""A peer that is a program with one config file, written from a template."""

import shutil
import subprocess
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from string import Template

from benchmarks import certificate
from benchmarks.backends import KINDS
from benchmarks.machine import version_in
from benchmarks.net import Address
from benchmarks.peers.contract import Backends, Peer, Proxy
from benchmarks.process import running
from tests.services.ports import free_port


@dataclass(frozen=True)
class Program(Peer):
    """A proxy program.

    Attributes:
        template: file beside this one. For every kind of backend it has `$<kind>_front` (host:port to listen on) and
            `$<kind>_backends` (lines), and it may have `$directory`, and `$pair` for certificate and key.
        backend_line: one backend's line, with `$address`, `$weight` (1 to 10), `$number` and `$options`.
        options: of a kind's backends, where they have some.
        command: the command for a config file; it stays in the foreground, as a single process.
        version_command: prints the version, to either stream.
        unavailable: more reasons why it cannot be measured here; returns empty if there is none.
        lacks: kinds of backend that it cannot be put before.
        extra: what is added to the template, which for its part may have `$directory`.
        instead: kind of backend -> the kind whose front is used in its place.
    """

    name: str
    template: str
    backend_line: str
    command: Callable[[Path], list[str]]
    version_command: Sequence[str]
    unavailable: Callable[[], str] | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    lacks: Collection[str] = ()
    extra: str = ""
    instead: Mapping[str, str] = field(default_factory=dict)
    only: Sequence[str] = ()

    def serves(self, kinds: Collection[str]) -> bool:
        return not set(kinds) & set(self.lacks)

    def missing(self) -> str:
        executable = self.version_command[0]
        if not shutil.which(executable):
            return f"{executable} is not installed"
        return self.unavailable() if self.unavailable else ""

    def version(self) -> str:
        printed = subprocess.run(self.version_command, capture_output=True, text=True, check=False)
        return version_in(printed.stdout + printed.stderr)

    @contextmanager
    def running(self, backends: Backends, cpus: frozenset[int], directory: Path) -> Iterator[Proxy]:
        fronts = {kind: Address("127.0.0.1", free_port()) for kind in backends if kind not in self.lacks}
        config = directory / f"{fronts['http'].port}-{self.template}"
        config.write_text(self.render(fronts, backends, directory))
        ready = {front: KINDS[kind].front_probe for kind, front in fronts.items()}
        with running(self.command(config), ready=ready, cpus=cpus, directory=directory) as process:
            yield Proxy({kind: fronts[self.instead.get(kind, kind)] for kind in fronts}, process.pid)

    def render(self, fronts: dict[str, Address], backends: Backends, directory: Path) -> str:
        """The text of the config file."""
        values = {"directory": str(directory), "pair": str(certificate.pair(directory))}
        for kind, front in fronts.items():
            values[f"{kind}_front"] = str(front)
            values[f"{kind}_backends"] = "\n".join(
                Template(self.backend_line).substitute(
                    address=address, weight=number, number=number, options=self.options.get(kind, "")
                )
                for number, address in enumerate(backends[kind], 1)
            )
        return Template(Path(__file__).with_name(self.template).read_text() + self.extra).substitute(values)
