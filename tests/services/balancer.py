"""The balancer itself, as a process of its own."""

import json
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Self

from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

_ROOT = Path(__file__).parents[2]

Value = str | int | float | bool | list[str]


class Balancer(Server):
    """`python -m gobetween_py -c FILE`, which tells by sd_notify(3) that it is ready.

    Args:
        config: the file's text, TOML.
        arguments: of the command line, instead of `-c FILE`.
        environment: variables set beside those of the tests.
    """

    name = "pygobetween"

    def __init__(
        self,
        config: str = "",
        *,
        arguments: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.config = self.folder / "gobetween.toml"
        self.config.write_text(config)
        self.arguments = ["-c", str(self.config)] if arguments is None else arguments
        self.port = 0
        self._variables = dict(environment or {})
        self._notified = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._notified.bind(str(self.folder / "notify"))

    @classmethod
    def before(cls, *backends: str, bind: str | None = None, **keys: Value) -> Self:
        """A balancer with one server, `web`, before static backends.

        Args:
            backends: backend lines.
            bind: where it listens; None is a free port of 127.0.0.1, which is then `port`.
            keys: further keys of the server, for instance balance="roundrobin".
        """
        port = free_port()
        settings: dict[str, Value] = {"bind": bind or f"{LOOPBACK}:{port}", "shutdown_timeout": "1s", **keys}
        lines = ["[servers.web]", *(f"{key} = {json.dumps(value)}" for key, value in settings.items())]
        lines += ["[servers.web.discovery]", 'kind = "static"', f"static_list = {json.dumps(backends)}"]
        balancer = cls("\n".join([*lines, ""]))
        balancer.port = port
        return balancer

    def start(self) -> Self:
        self.told()  # what an earlier process said: its readiness is not the next one's
        return super().start()

    def command(self) -> Sequence[str | Path]:
        return [sys.executable, "-m", "gobetween_py", *self.arguments]

    def environment(self) -> Mapping[str, str]:
        variables = {"PYTHONPATH": str(_ROOT), "NOTIFY_SOCKET": str(self.folder / "notify"), **self._variables}
        return {**os.environ, **variables}

    def answers(self) -> bool:
        return b"READY=1" in self._notified.recv(4096)

    def told(self) -> list[str]:
        """What it has told systemd since it was asked last."""
        states = []
        while True:
            try:
                states.append(self._notified.recv(4096).decode())
            except BlockingIOError:
                return states

    def close(self) -> None:
        """Stops it; an AssertionError if it logged a traceback at any time."""
        self.stop()
        log = self.log.read_text(errors="replace")
        self._notified.close()
        super().close()
        _, traceback, rest = log.partition("Traceback (most recent call last)")
        assert not traceback, traceback + rest[:8000]
