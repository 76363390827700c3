"""The balancer under faults: no byte lost, doubled or reordered, nothing leaked, the listener alive in the end."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.faults.servers import CountedBalancer, FaultBackend
from tests.services.process import LOOPBACK

ROOT = Path(__file__).parents[2]
CONNECTIONS = int(os.environ.get("FAULT_CONNECTIONS", "100000"))
CLIENTS = 2
AT_ONCE = 40
BACKENDS = 4


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


@pytest.mark.timeout(900)
def test_faults_cost_no_byte_and_nothing_leaks(serve: Serve, capsys: pytest.CaptureFixture[str]):
    """Random sizes, half-closes, resets and slow readers, while backends are killed and come back."""
    backends = [serve(FaultBackend()) for _ in range(BACKENDS)]
    lines = [f"{LOOPBACK}:{backend.port}" for backend in backends]
    balancer = serve(CountedBalancer.before(*lines, client_idle_timeout="1m", backend_connection_timeout="2s"))
    assert set(outcome(play(balancer.port, 200, 0))) == {"right"}
    before = balancer.settled({})
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
    after = balancer.settled(before)
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
