"""Prometheus, which scrapes, and promtool, which checks what it scraped."""

import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.services import apt
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

_CONFIG = """
global: {{ scrape_interval: 1s, scrape_timeout: 1s }}
scrape_configs:
  - job_name: pygobetween
    static_configs: [{{ targets: ["{target}"] }}]
"""


class Prometheus(Server):
    """Scrapes one target every second.

    Args:
        target: port of 127.0.0.1 that serves /metrics.
    """

    name = "prometheus"

    def __init__(self, target: int) -> None:
        super().__init__()
        self.target = target
        self.port = free_port()
        self._api = JsonApi(LOOPBACK, self.port)

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("prometheus", "prometheus")
        config = self.folder / "prometheus.yml"
        config.write_text(_CONFIG.format(target=f"{LOOPBACK}:{self.target}"))
        return [
            binary,
            f"--config.file={config}",
            f"--storage.tsdb.path={self.folder / 'data'}",
            f"--web.listen-address={LOOPBACK}:{self.port}",
            "--log.level=warn",
        ]

    def answers(self) -> bool:
        try:
            return "Ready" in self._api.get("/-/ready")
        except ApiError:
            return False

    def query(self, expression: str) -> list[Mapping[str, Any]]:
        """The instant vector of an expression: each with `metric` (labels) and `value` ([time, text])."""
        answer = self._api.get(f"/api/v1/query?{urlencode({'query': expression})}")
        found: list[Mapping[str, Any]] = answer["data"]["result"]
        return found

    def wait_for(self, expression: str, seconds: float = 20.0) -> list[Mapping[str, Any]]:
        """What the expression gives as soon as it gives anything.

        Raises:
            TimeoutError: it gives nothing.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := self.query(expression):
                return found
            time.sleep(0.2)
        raise TimeoutError(f"{expression} gave nothing in {seconds:g} s")


def check_metrics(text: bytes) -> str:
    """What `promtool check metrics` has to say of a scrape: nothing, when all is well.

    Raises:
        Unavailable: there is no promtool, and it cannot be installed.
    """
    binary = apt.command("promtool", "prometheus")
    done = subprocess.run(
        [binary, "check", "metrics"], input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.stdout.decode()
