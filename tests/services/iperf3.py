"""iperf3: bulk TCP in both directions."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server


class Iperf3(Server):
    """An iperf3 server; it serves one test at a time."""

    name = "iperf3"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()

    def command(self) -> Sequence[str | Path]:
        return [apt.command("iperf3", "iperf3"), "-s", "-p", str(self.port), "--forceflush"]

    def answers(self) -> bool:
        # Not by connecting: to iperf3 a connection is a test.
        return "Server listening" in self.log_text()


def iperf3(port: int, *arguments: str, host: str = LOOPBACK) -> dict[str, Any]:
    """The JSON report of an iperf3 client run against a server, or a balancer before one."""
    command = [apt.command("iperf3", "iperf3"), "-c", host, "-p", str(port), "--json", *arguments]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    report: dict[str, Any] = json.loads(done.stdout)
    if done.returncode != 0:
        raise RuntimeError(f"iperf3: {report.get('error', done.stdout)}")
    return report
