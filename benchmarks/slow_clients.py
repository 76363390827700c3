"""`python -m benchmarks.slow_clients [COUNT]`: what clients that dawdle cost those that do not.

In each phase that a client can dawdle in, two thousand of them, unless it says less, send a byte a second each. Beside
them one client after the other connects to the same server, sends the whole and gets an answer through the balancer; in
turns without and with the slow ones. Printed are p50 and p99 of those connections, in milliseconds.

The balancer has one CPU, everything else another one. It and the client that is timed have real-time priority: how long
they would wait for the CPU behind others is no matter of slow clients.
"""

import contextlib
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks import certificate
from benchmarks.backends.tls import hello
from benchmarks.cpu import on_cpus, placement, realtime
from benchmarks.load.dribble import HEADER
from benchmarks.load.ping import percentile
from benchmarks.net import Address
from benchmarks.process import StartError, running, stop
from tests.services.ports import free_ports

ROUNDS, REQUESTS = 7, 3000
CONFIG = """
[logging]
level = "error"
[servers.header]
bind = "{header}"
proxy_protocol_in = {{ trusted = ["127.0.0.0/8"], read_timeout = "10m" }}
discovery = {{ kind = "static", static_list = ["{backend}"] }}
[servers.hello]
bind = "{hello}"
sni = {{ read_timeout = "10m" }}
discovery = {{ kind = "static", static_list = ["{backend} sni={name}"] }}
[servers.tls]
bind = "{tls}"
protocol = "tls"
tls = {{ cert_path = "{pair}", key_path = "{pair}", handshake_timeout = "10m" }}
discovery = {{ kind = "static", static_list = ["{backend}"] }}
"""


@dataclass(frozen=True)
class Phase:
    """Where clients dawdle.

    Attributes:
        title: in the table.
        address: of the server.
        dribbled: what they are about to say (benchmarks.load.dribble).
        ask: how a client that does not dawdle gets its answer.
    """

    title: str
    address: Address
    dribbled: str
    ask: Callable[[socket.socket], bytes]


def ask_after(data: bytes) -> Callable[[socket.socket], bytes]:
    """Sends data, and awaits the answer."""

    def ask(sock: socket.socket) -> bytes:
        sock.sendall(data)
        return sock.recv(2)

    return ask


def ask_over_tls(sock: socket.socket) -> bytes:
    """A full handshake, a question and its answer."""
    with TLS.wrap_socket(sock, server_hostname=certificate.NAME) as tls:
        tls.sendall(b"question")
        return tls.recv(2)


TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
TLS.check_hostname = False
TLS.verify_mode = ssl.CERT_NONE


def answer(listener: socket.socket) -> None:
    """Two bytes for whoever sends something, for ever."""
    while True:
        with contextlib.suppress(OSError), listener.accept()[0] as sock:
            if sock.recv(4096):
                sock.sendall(b"ok")


@contextlib.contextmanager
def dawdling(phase: Phase, count: int) -> Iterator[None]:
    """So many slow clients. Raises StartError: they did not get that far, or some were turned away meanwhile."""
    command = [sys.executable, "-m", "benchmarks.load.dribble", str(phase.address), phase.dribbled, str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            assert process.stdout is not None
            if process.stdout.readline() != b"ready\n":
                raise StartError("the slow clients did not connect")
            yield
            if process.poll() is not None:
                raise StartError("the slow clients ended before the others were measured")
        finally:
            stop(process)


def times(phase: Phase) -> list[float]:
    """How long a connection with one answer takes, in milliseconds, ascending."""
    taken = []
    with realtime(0):
        for _ in range(REQUESTS):
            begun = time.perf_counter()
            with socket.create_connection(phase.address, timeout=10) as sock:
                if phase.ask(sock) != b"ok":
                    raise ConnectionError(f"no answer through {phase.address}")
            taken.append((time.perf_counter() - begun) * 1000)
    return sorted(taken)


def measure(phase: Phase, count: int) -> str:
    """A row of the table."""
    alone, beside = [], []
    for _ in range(ROUNDS):
        alone.append(times(phase))
        with dawdling(phase, count):
            beside.append(times(phase))
    figures = []
    for percent in 50, 99:
        pairs = [(percentile(a, percent), percentile(b, percent)) for a, b in zip(alone, beside, strict=True)]
        without, with_ = (median(side) for side in zip(*pairs, strict=True))
        ratios = [b / a for a, b in pairs]
        figures.append(f"{without:6.3f} {with_:6.3f}  {median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})")
    return f"{phase.title:<40} {figures[0]}   {figures[1]}"


def main(count: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    header_at, hello_at, tls_at = (Address("127.0.0.1", port) for port in free_ports(3))
    question = HEADER + b"question"
    phases = [
        Phase("PROXY header", header_at, "header", ask_after(question)),
        Phase("ClientHello, passed through", hello_at, "hello", ask_after(hello())),
        Phase("ClientHello, terminated", tls_at, "hello", ask_over_tls),
        Phase("client's Finished, terminated", tls_at, "finished", ask_over_tls),
    ]
    where = placement("split")
    with tempfile.TemporaryDirectory() as folder, on_cpus(0, where.rest):
        directory = Path(folder)
        certificate.make(directory)
        config = directory / "slow.toml"
        servers = {"header": header_at, "hello": hello_at, "tls": tls_at}
        backend = Address("127.0.0.1", listener.getsockname()[1])
        pair = certificate.pair(directory)
        config.write_text(CONFIG.format(**servers, backend=backend, name=certificate.NAME, pair=pair))
        command = [sys.executable, "-m", "gobetween_py", "-c", str(config)]
        with (
            running(command, ready={header_at: question}, directory=directory, cpus=where.proxy) as process,
            realtime(process.pid),
        ):
            print(f"{count} slow clients, {ROUNDS} rounds of {REQUESTS} connections without and with them; medians, ms")
            print(f"{'they dawdle within the':<40} {'p50':^34}   {'p99':^34}")
            for phase in phases:
                print(measure(phase, count), flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
