"""The balancer under faults: no byte lost, doubled or reordered, nothing leaked, the listener alive in the end."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

ROOT = Path(__file__).parents[2]
CONNECTIONS = int(os.environ.get("FAULT_CONNECTIONS", "100000"))
CLIENTS = 2
AT_ONCE = 40
BACKENDS = 4


class FaultBackend(Server):
    """One backend of the fault run."""

    name = "fault-backend"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.books = self.folder / "books"

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "tests.integration.faults.backend", str(self.port), self.books]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "PYTHONPATH": str(ROOT)}

    def answers(self) -> bool:
        socket.create_connection((LOOPBACK, self.port), 1).close()
        return True

    def result(self) -> Counter[str]:
        """Stop it and read its books."""
        self.stop()
        return Counter(json.loads(self.books.read_text()))


class CountedBalancer(Balancer):
    """The balancer that tells what it holds."""

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "tests.integration.faults.counted", "-c", self.config]

    def environment(self) -> dict[str, str]:
        return {**super().environment(), "HOLDINGS": str(self.folder / "holdings")}

    def holdings(self) -> dict[str, int]:
        """What it holds now."""
        assert self.process is not None
        target = self.folder / "holdings"
        target.unlink(missing_ok=True)
        self.process.send_signal(signal.SIGUSR2)
        deadline = time.monotonic() + 10
        while not target.exists():
            assert time.monotonic() < deadline, "the balancer does not answer SIGUSR2"
            time.sleep(0.02)
        found: dict[str, int] = json.loads(target.read_text())
        return found


def play(port: int, connections: int, seed: int) -> "subprocess.Popen[str]":
    arguments = [str(n) for n in (port, connections, AT_ONCE, seed)]
    return subprocess.Popen(
        [sys.executable, "-m", "tests.integration.faults.client", *arguments],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )


def outcome(client: "subprocess.Popen[str]") -> Counter[str]:
    printed, _ = client.communicate(timeout=600)
    assert client.returncode == 0
    return Counter(json.loads(printed))


def settled(balancer: CountedBalancer, before: dict[str, int]) -> dict[str, int]:
    """What it holds once the last connections have ended."""
    deadline = time.monotonic() + 10
    while (now := balancer.holdings()) != before and time.monotonic() < deadline:
        time.sleep(0.2)
    return now


@pytest.mark.timeout(900)
def test_faults_cost_no_byte_and_nothing_leaks(serve: Serve, capsys: pytest.CaptureFixture[str]):
    """Random sizes, half-closes, resets and slow readers, while backends are killed and come back."""
    backends = [serve(FaultBackend()) for _ in range(BACKENDS)]
    lines = [f"{LOOPBACK}:{backend.port}" for backend in backends]
    balancer = serve(CountedBalancer.before(*lines, client_idle_timeout="1m", backend_connection_timeout="2s"))
    assert set(outcome(play(balancer.port, 200, 0))) == {"right"}
    before = settled(balancer, {})
    started = time.monotonic()
    clients = [play(balancer.port, CONNECTIONS // CLIENTS, seed) for seed in range(1, CLIENTS + 1)]
    kills = 0
    dice = random.Random(3)
    while any(client.poll() is None for client in clients):
        time.sleep(1.0)
        victim = dice.choice(backends)
        victim.kill()
        kills += 1
        time.sleep(0.3)
        victim.start()
    outcomes = sum((outcome(client) for client in clients), Counter())
    seconds = time.monotonic() - started
    after = settled(balancer, before)
    books = sum((backend.result() for backend in backends), Counter())
    with capsys.disabled():
        print(f"\n{sum(outcomes.values()):,} connections in {seconds:.0f} s, {kills} kills: {dict(outcomes)}")
        print(f"books of the backends that lived to the end: {dict(books)}\nheld before {before}\nheld after  {after}")
    assert sum(outcomes.values()) == CONNECTIONS // CLIENTS * CLIENTS
    assert set(outcomes) <= {"right", "torn"}
    assert outcomes["torn"] <= kills * CLIENTS * AT_ONCE
    assert not [entry for entry in books if entry.isupper()]
    assert after == before
    for backend in backends:
        backend.start()
    assert set(outcome(play(balancer.port, 200, 99))) == {"right"}


def test_without_kills_every_connection_goes_right(serve: Serve):
    backends = [serve(FaultBackend()) for _ in range(2)]
    balancer = serve(CountedBalancer.before(*(f"{LOOPBACK}:{backend.port}" for backend in backends)))
    count = max(CONNECTIONS // 20, 1_000)
    assert outcome(play(balancer.port, count, 5)) == {"right": count}
    books = sum((backend.result() for backend in backends), Counter())
    assert not [entry for entry in books if entry.isupper()]
