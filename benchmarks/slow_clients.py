"""`python -m benchmarks.slow_clients [COUNT]`: what clients that dawdle cost those that do not.

Two thousand clients, unless it says less, half of them in a ClientHello and half in a PROXY header, send a byte a
second each. Beside them one client after the other connects to the same servers, sends the whole and gets an answer
through the balancer; in turns with and without the slow ones. Printed is the p50 and p99 of those, in milliseconds.
"""

import contextlib
import random
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.backends.tls import hello
from benchmarks.certificate import NAME
from benchmarks.load.ping import percentile
from benchmarks.net import Address
from benchmarks.process import running
from tests.services.ports import free_ports

ROUNDS, REQUESTS = 5, 1000
HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n"
CONFIG = """
[logging]
level = "error"
[servers.hello]
bind = "{hello}"
sni = {{ read_timeout = "10m" }}
discovery = {{ kind = "static", static_list = ["{backend} sni={name}"] }}
[servers.header]
bind = "{header}"
proxy_protocol_in = {{ trusted = ["127.0.0.0/8"], read_timeout = "10m" }}
discovery = {{ kind = "static", static_list = ["{backend}"] }}
"""


def answer(listener: socket.socket) -> None:
    """Two bytes for whoever sends something, for ever."""
    while True:
        with contextlib.suppress(OSError), listener.accept()[0] as sock:
            if sock.recv(4096):
                sock.sendall(b"ok")


@contextlib.contextmanager
def dawdling(fronts: dict[Address, bytes], count: int) -> Iterator[None]:
    """So many clients, spread over the fronts, that send what is begun there a byte a second each."""
    with contextlib.ExitStack() as stack:
        clients = []
        for number in range(count):
            address, data = list(fronts.items())[number % len(fronts)]
            sock = stack.enter_context(socket.create_connection(address, timeout=10))
            clients.append((sock, data))
        done = threading.Event()

        def dribble() -> None:
            for at in range(min(map(len, fronts.values())) - 1):
                begun = time.monotonic()
                for number, (sock, data) in enumerate(clients):
                    sock.sendall(data[at : at + 1])
                    if number % 20 == 0:
                        time.sleep(max(0.0, begun + number / len(clients) - time.monotonic()))
                if done.wait(max(0.0, begun + 1 - time.monotonic())):
                    return

        thread = threading.Thread(target=dribble)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def times(fronts: dict[Address, bytes]) -> list[float]:
    """How long a connection with one answer takes, in milliseconds, ascending."""
    taken, draw = [], random.Random(1)
    for _ in range(REQUESTS):
        address, data = draw.choice(list(fronts.items()))
        begun = time.perf_counter()
        with socket.create_connection(address, timeout=10) as sock:
            sock.sendall(data)
            if sock.recv(2) != b"ok":
                raise ConnectionError(f"no answer through {address}")
        taken.append((time.perf_counter() - begun) * 1000)
    return sorted(taken)


def main(count: int) -> None:
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    threading.Thread(target=answer, args=(listener,), daemon=True).start()
    hello_at, header_at = (Address("127.0.0.1", port) for port in free_ports(2))
    fronts = {hello_at: hello(), header_at: HEADER + b"question"}
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "slow.toml"
        backend = Address("127.0.0.1", listener.getsockname()[1])
        config.write_text(CONFIG.format(hello=hello_at, header=header_at, backend=backend, name=NAME))
        command = [sys.executable, "-m", "gobetween_py", "-c", str(config)]
        with running(command, ready={header_at: HEADER + b"question"}, directory=Path(folder)):
            p50s, p99s, ratios = [], [], []
            for _ in range(ROUNDS):
                alone = times(fronts)
                with dawdling(fronts, count):
                    beside = times(fronts)
                p50s.append((percentile(alone, 50), percentile(beside, 50)))
                p99s.append((percentile(alone, 99), percentile(beside, 99)))
                ratios.append(p99s[-1][1] / p99s[-1][0])
    print(f"{count} slow clients, {ROUNDS} rounds of {REQUESTS} connections without and with them; medians:")
    for name, pairs in {"p50": p50s, "p99": p99s}.items():
        print(f"  {name}  {median(a for a, _ in pairs):.3f} ms without, {median(b for _, b in pairs):.3f} ms with")
    print(f"  p99 with ÷ without: {median(ratios):.2f} ({min(ratios):.2f} .. {max(ratios):.2f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
