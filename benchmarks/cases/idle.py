"""Connections that were used once and then stay open."""

import resource
import socket
import time
from contextlib import ExitStack

from benchmarks.cases.contract import Case
from benchmarks.load.ping import PING, PONG
from benchmarks.net import Address
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

FIRST = 500  # open before the first reading, so that what a process allocates only once is not counted
MORE = 5000
SETTLE = 1.5  # seconds for buffers to be given back


class Idle(Case):
    """Memory of the proxy process per idle connection, each with one PING and PONG behind it."""

    name = "idle"
    title = f"idle: memory per open connection, from {FIRST} to {FIRST + MORE} of them"
    kinds = ("redis",)
    metrics = (Metric("memory", "KB/connection"),)
    fresh = True

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        if not proxy.pid:
            return {}
        with ExitStack() as opened:
            before = self._memory_with(opened, FIRST, proxy)
            more = min(MORE, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - FIRST - 500)
            return {"memory": (self._memory_with(opened, more, proxy) - before) / more / 1024}

    @staticmethod
    def _memory_with(opened: ExitStack, more: int, proxy: Proxy) -> int:
        for _ in range(more):
            opened.enter_context(used_connection(proxy.fronts["redis"]))
        time.sleep(SETTLE)
        return proxy.memory_bytes()


def used_connection(address: Address) -> socket.socket:
    """A connection over which one message went and its answer came back."""
    connection = socket.create_connection(address, timeout=10)
    connection.sendall(PING)
    if connection.recv(64) != PONG:
        connection.close()
        raise ConnectionError(f"{address} did not answer PING")
    return connection
