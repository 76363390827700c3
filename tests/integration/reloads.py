"""What tests of reloads share: a backend with lasting connections, and a reload that is waited for."""

import json
import signal
import socket
import threading
import time
from collections.abc import Callable

from tests.services.balancer import Balancer
from tests.services.process import LOOPBACK

PATIENCE = 20.0
"""Seconds until a test that waits in vain fails."""


def server(name: str, port: int, *backends: str, host: str = LOOPBACK, **keys: object) -> str:
    """A server's part of a config, with static backends.

    Args:
        keys: further ones; a dict is a section.
    """
    plain = {"bind": f"{host}:{port}", **{key: value for key, value in keys.items() if not isinstance(value, dict)}}
    discovery = {"kind": "static", "static_list": backends}
    sections = {key: value for key, value in keys.items() if isinstance(value, dict)} | {"discovery": discovery}
    lines = [f"[servers.{name}]", *_lines(plain)]
    for section, table in sections.items():
        lines += [f"[servers.{name}.{section}]", *_lines(table)]
    return "\n".join(lines) + "\n"


def _lines(table: dict[str, object]) -> list[str]:
    return [f"{key} = {json.dumps(value)}" for key, value in table.items()]


class Echo:
    """A backend that sends back what it gets, on connections that may last."""

    def __init__(self) -> None:
        self.listener = socket.create_server((LOOPBACK, 0), backlog=512)
        self.line = f"{LOOPBACK}:{self.listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    @staticmethod
    def _serve(sock: socket.socket) -> None:
        with sock:
            while data := sock.recv(65_536):
                sock.sendall(data)


def answers(client: socket.socket, text: bytes = b"are you there?") -> bool:
    """Whether an open connection still carries bytes both ways."""
    client.sendall(text)
    got = b""
    while len(got) < len(text) and (part := client.recv(100)):
        got += part
    return got == text


def connect(port: int) -> socket.socket:
    return socket.create_connection((LOOPBACK, port), 10)


def reload(balancer: Balancer, text: str) -> None:
    """Write the config, send SIGHUP, and wait until the log says how it went."""
    before = verdicts(balancer)
    balancer.config.write_text(text)
    balancer.signal(signal.SIGHUP)
    deadline = time.monotonic() + PATIENCE
    while verdicts(balancer) == before:
        assert time.monotonic() < deadline, balancer.log_tail()
        time.sleep(0.005)


def verdicts(balancer: Balancer) -> int:
    log = balancer.log_text()
    return log.count(": reloaded: ") + log.count(": the config is not reloaded")


def eventually(holds: Callable[[], bool], patience: float = PATIENCE) -> None:
    deadline = time.monotonic() + patience
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def refused(port: int) -> bool:
    try:
        connect(port).close()
    except ConnectionRefusedError:
        return True
    return False
