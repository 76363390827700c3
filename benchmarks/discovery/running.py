"""The balancer before a source, as a process of its own."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from benchmarks.cpu import process_cpu_seconds
from benchmarks.discovery.sources import Source
from tests.services.balancer import Balancer
from tests.services.ports import free_port


@dataclass(frozen=True, slots=True)
class Running:
    """A balancer that runs.

    Attributes:
        port: of the server whose backends the source tells of.
        ping_port: of another server of the same process, whose one backend is 127.0.0.1:`ping_backend`.
    """

    balancer: Balancer
    port: int
    ping_port: int
    ping_backend: int

    def cpu_seconds(self) -> float:
        """What the process has used so far."""
        return process_cpu_seconds(self.balancer.pid)


@contextmanager
def running(source: Source, *, interval: str, balance: str = "weight") -> Iterator[Running]:
    """`python -m gobetween_py` with that discovery, ready; everything else is as it comes. "" is no interval."""
    port, ping_port, ping_backend = free_port(), free_port(), free_port()
    polled = {"interval": interval} if interval else {}
    discovery = "\n".join(f"{key} = {json.dumps(value)}" for key, value in {**source.options, **polled}.items())
    balancer = Balancer(
        f'[logging]\nlevel = "warn"\n'
        f'[servers.web]\nbind = "127.0.0.1:{port}"\nbalance = "{balance}"\n[servers.web.discovery]\n{discovery}\n'
        f'[servers.ping]\nbind = "127.0.0.1:{ping_port}"\n'
        f'[servers.ping.discovery]\nkind = "static"\nstatic_list = ["127.0.0.1:{ping_backend}"]\n'
    )
    try:
        with source.place():
            balancer.start()
            yield Running(balancer, port, ping_port, ping_backend)
    finally:
        balancer.close()
