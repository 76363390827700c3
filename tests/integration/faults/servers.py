"""The servers of the fault run: its backend, and the balancer that tells what it holds."""

import json
import os
import signal
import socket
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from tests.services.balancer import Balancer
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

ROOT = Path(__file__).parents[3]


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
        return [sys.executable, "-m", "tests.integration.faults.counted", *self.arguments]

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

    def settled(self, before: dict[str, int]) -> dict[str, int]:
        """What it holds once the last connections have ended: as before, or else in the end."""
        deadline = time.monotonic() + 15
        while (now := self.holdings()) != before and time.monotonic() < deadline:
            time.sleep(0.2)
        return now
