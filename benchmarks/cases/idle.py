"""Connections, or UDP sessions, that were used once and then stay open."""

import resource
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack

from benchmarks.cases.contract import Case
from benchmarks.load.datagrams import used_socket
from benchmarks.load.ping import PING, PONG
from benchmarks.net import Address
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

FIRST = 500  # open before the first reading, so that what a process allocates only once is not counted
SETTLE = 1.5  # seconds for buffers to be given back


class Idle(Case):
    """Memory of the proxy process per idle connection, each with one question and its answer behind it.

    Args:
        what: one of them is called.
        kind: of the backends.
        make: makes one, given the front and a number.
        more: how many are open at the end beside the FIRST.
        files: that the proxy opens for each.
    """

    fresh = True

    def __init__(
        self, name: str, what: str, *, kind: str, make: Callable[[Address, int], socket.socket], more: int, files: int
    ) -> None:
        self.name = name
        self.title = f"{name}: memory per open {what}, from {FIRST} to {FIRST + more} of them"
        self.kinds = (kind,)
        self.metrics = (Metric("memory", f"KB/{what.rpartition(' ')[2]}"),)
        self._make = make
        self._more = more
        self._files = files

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        if not proxy.pid:
            return {}
        with ExitStack() as opened:
            before = self._memory_with(opened, range(FIRST), proxy)
            more = min(self._more, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // self._files - FIRST - 500)
            return {"memory": (self._memory_with(opened, range(FIRST, FIRST + more), proxy) - before) / more / 1024}

    def _memory_with(self, opened: ExitStack, numbers: range, proxy: Proxy) -> int:
        for number in numbers:
            opened.enter_context(self._make(proxy.fronts[self.kinds[0]], number))
        time.sleep(SETTLE)
        return proxy.memory_bytes()


def used_connection(address: Address, _number: int) -> socket.socket:
    """A connection over which one message went and its answer came back."""
    connection = socket.create_connection(address, timeout=10)
    connection.sendall(PING)
    if connection.recv(64) != PONG:
        connection.close()
        raise ConnectionError(f"{address} did not answer PING")
    return connection


IDLE = Idle("idle", "connection", kind="redis", make=used_connection, more=5000, files=2)
SESSIONS = Idle("idle-udp", "UDP session", kind="echo", make=used_socket, more=10_000, files=1)
