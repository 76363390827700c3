"""Reload under load: nothing that is open notices, nothing fails, nothing is left over."""

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
from tests.integration.reloads import Echo, answers, connect, eventually, reload, server
from tests.services.ports import free_port, reserve
from tests.services.process import LOOPBACK

ROOT = Path(__file__).parents[2]
RELOADS = int(os.environ.get("RELOADS", "200"))
AT_ONCE = 20
STEADY = 20
BALANCE = ["weight", "roundrobin", "leastconn", "leastbandwidth", "p2c", "iphash", "iphash1", "maglev"]


class Moving:
    """Clients in a process of their own that connect again and again, wherever the balancer is."""

    def __init__(self, port: int) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.integration.faults.moving", str(AT_ONCE), "1"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        self.move(port)

    def move(self, port: int) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{port}\n")
        self.process.stdin.flush()

    def end(self) -> Counter[str]:
        printed, _ = self.process.communicate(timeout=120)
        return Counter(json.loads(printed))


class Varied:
    """A config that is another one each time.

    web: what the clients use; steady: what the lasting connections use; and servers that come, go and take over each
    other's binds.
    """

    def __init__(self, backends: list[str], echo: str) -> None:
        self.backends, self.echo = backends, echo
        self.dice = random.Random(7)
        self.ports = [free_port() for _ in range(3)]
        self.others = [free_port() for _ in range(3)]
        self._reserved = [reserve(port) for port in (*self.ports, *self.others)]
        self.changes: Counter[str] = Counter()
        self.port, self.steady = self.ports[0], self.others[0]
        self._before: dict[str, dict[str, object]] = {}

    def first(self) -> str:
        return self._server("web", self.port, self.backends) + self._server("steady", self.steady, [self.echo])

    def next(self) -> str:
        dice = self.dice
        self.port = dice.choice([self.port, *self.ports])
        chosen = [
            f"{line} weight={dice.randint(1, 5)} priority={dice.randint(1, 2)}"
            for line in dice.sample(self.backends, dice.randint(1, len(self.backends)))
        ]
        text = self._server("web", self.port, chosen, host=dice.choice(["", LOOPBACK]))
        used, *left = dice.sample(self.others, len(self.others))
        text += self._server("steady", used, [self.echo, self.backends[0]])
        for name, port in zip(dice.sample(["one", "two", "three"], dice.randint(0, 2)), left, strict=False):
            text += self._server(name, port, self.backends[:1])
        return text

    def _server(self, name: str, port: int, backends: list[str], host: str = LOOPBACK) -> str:
        dice = self.dice
        keys: dict[str, object] = {
            "balance": dice.choice(BALANCE),
            "priority_tiers": dice.random() < 0.3,
            "max_connections": dice.choice([0, 5000, 10_000]),
            "client_idle_timeout": dice.choice(["0", "30s", "1m"]),
            "backend_idle_timeout": dice.choice(["0", "45s"]),
            "backend_connection_timeout": dice.choice(["0", "5s", "10s"]),
            "connect_attempts": dice.randint(1, 4),
            "access": {"default": dice.choice(["allow", "deny"]), "rules": ["allow 127.0.0.0/8", "deny 10.0.0.0/8"]},
            "healthcheck": dice.choice([{"kind": "none"}, {"kind": "ping", "interval": "1s", "timeout": "30s"}]),
        }
        now = {"bind": (host, port), "backends": backends, **keys}
        before = self._before.get(name)
        self.changes.update(key for key, value in now.items() if before and before[key] != value)
        self._before[name] = now
        return server(name, port, *backends, host=host, shutdown_timeout="100ms", **keys)


@pytest.mark.timeout(600)
def test_hundreds_of_reloads_under_load_are_not_noticed(serve: Serve, echo: Echo, capsys: pytest.CaptureFixture[str]):
    """Changing backends, balance, limits, timeouts, access rules and binds, servers that come and go."""
    backends = [serve(FaultBackend()) for _ in range(4)]
    varied = Varied([f"{LOOPBACK}:{backend.port}" for backend in backends], echo.line)
    first, port, steady = varied.first(), varied.port, varied.steady
    balancer = serve(CountedBalancer(first))
    connect(port).close()
    connect(steady).close()
    before = balancer.settled({})
    clients = Moving(port)
    lasting = [connect(steady) for _ in range(STEADY)]
    started = time.monotonic()
    slowest = 0.0
    for _ in range(RELOADS):
        text, begun = varied.next(), time.monotonic()
        reload(balancer, text)
        clients.move(varied.port)
        assert all(answers(client) for client in lasting)
        slowest = max(slowest, time.monotonic() - begun)
    seconds = time.monotonic() - started
    reload(balancer, first)
    clients.move(port)
    outcomes = clients.end()
    for client in lasting:
        assert answers(client)
        client.close()
    after = balancer.settled(before)
    books = sum((backend.result() for backend in backends), Counter())
    log = balancer.log_text()
    with capsys.disabled():
        print(
            f"\n{RELOADS} reloads in {seconds:.0f} s (slowest {slowest:.2f} s) under {sum(outcomes.values()):,} ",
            end="",
        )
        print(f"connections and {STEADY} lasting ones: {dict(outcomes)}\nchanges: {dict(varied.changes)}")
        print(f"books of the backends: {dict(books)}\nheld before {before}\nheld after  {after}")
    trouble = [line for line in log.splitlines() if "[ERROR]" in line or "[WARN]" in line]
    assert trouble == []
    assert log.count(": reloaded: ") == RELOADS + 1
    assert set(outcomes) == {"right"}
    assert sum(outcomes.values()) > 10 * RELOADS
    assert not [entry for entry in books if entry.isupper()]
    assert after == before


def listening(port: int) -> int:
    """How many sockets of this machine listen on a TCP port."""
    rows = [row.split() for file in ("tcp", "tcp6") for row in Path(f"/proc/net/{file}").read_text().splitlines()[1:]]
    return sum(row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port for row in rows)


@pytest.mark.parametrize("rename", [False, True], ids=["in place", "to another server"])
def test_a_bind_that_is_widened_and_narrowed_under_load_resets_nobody(serve: Serve, rename: bool):
    """Two sockets share the port until the one before closes; clients come to the narrower one for as long."""
    backend, port = serve(FaultBackend()), free_port()
    hosts = [LOOPBACK, "", "0.0.0.0", LOOPBACK]
    texts = [
        server(f"web{number}" if rename else "web", port, f"{LOOPBACK}:{backend.port}", host=host)
        for number, host in enumerate(hosts)
    ]
    balancer = serve(CountedBalancer(texts[0]))
    connect(port).close()
    clients = Moving(port)
    for text in texts[1:]:
        reload(balancer, text)
        eventually(lambda: listening(port) == 1)
    outcomes = clients.end()
    assert outcomes.keys() == {"right"}
    assert outcomes.total() > 100
    assert balancer.log_text().count(": reloaded: ") == len(hosts) - 1
