"""The servers behind every proxy: one process of a kind, listening on one port of ten loopback addresses.

Ten addresses are ten backends to a proxy, and cost this machine one process. A row of KINDS is one of
them.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.backends import echo, http, kept, proxied, redis, source, tls
from benchmarks.net import Address
from benchmarks.process import StartError, running
from tests.services.ports import free_ports

HOSTS = [f"127.0.0.{n}" for n in range(1, 11)]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of backend.

    Attributes:
        command: the command to run, given the addresses and a directory for files of its own.
        probe: bytes that it answers, a Datagram if it speaks UDP; empty if it speaks first.
        terminated: whether the proxies in front of it speak TLS with their clients, and it does not.
    """

    command: Callable[[Sequence[Address], Path], list[str]]
    probe: bytes
    terminated: bool = False

    @property
    def front_probe(self) -> bytes:
        """Bytes that a proxy in front of it answers."""
        return tls.hello() if self.terminated else self.probe


KINDS: Mapping[str, Kind] = {
    "http": Kind(http.command, b"GET / HTTP/1.0\r\n\r\n"),
    "redis": Kind(redis.command, b"PING\r\n"),
    "source": Kind(source.command, b""),
    "proxied": Kind(proxied.command, proxied.PROBE),
    "tls": Kind(tls.command, tls.hello()),
    "echo": Kind(echo.command, echo.PROBE),
    "queries": Kind(echo.command, echo.PROBE),
    "https": Kind(kept.command, b"GET / HTTP/1.0\r\n\r\n", terminated=True),
    "tls_source": Kind(source.command, b"", terminated=True),
}

Addresses = dict[str, list[Address]]  # kind -> where its server listens


def addresses(first_port: int | None) -> Addresses:
    """The ten addresses of each kind, on free ports or on `first_port` and the ones after it in the order of KINDS."""
    ports = free_ports(len(KINDS)) if first_port is None else range(first_port, first_port + len(KINDS))
    return {kind: [Address(host, port) for host in HOSTS] for kind, port in zip(KINDS, ports, strict=True)}


@contextmanager
def serving(backends: Addresses, directory: Path) -> Iterator[dict[str, int]]:
    """Runs one server per kind and gives the pid of each.

    Raises:
        StartError: a program is not installed, or does not start.
    """
    with ExitStack() as stack:
        pids = {}
        for kind, listening in backends.items():
            command = KINDS[kind].command(listening, directory)
            if not shutil.which(command[0]):
                raise StartError(f"{command[0]} is not installed: it is the {kind} backend")
            ready = dict.fromkeys(listening, KINDS[kind].probe)
            process = stack.enter_context(running(command, ready=ready, directory=directory))
            pids[kind] = process.pid
        yield pids
