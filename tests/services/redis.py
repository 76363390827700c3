"""redis: small requests and replies, checked value by value."""

import socket
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server


class Redis(Server):
    """An empty redis without persistence, on IPv4, IPv6 and a UNIX socket."""

    name = "redis"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.socket = self.folder / "socket"

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("redis-server", "redis-server", "redis-tools")
        options = ["--save", "", "--appendonly", "no", "--bind", LOOPBACK, "::1", "--tcp-backlog", "4096"]
        return [binary, "--port", str(self.port), "--unixsocket", self.socket, "--dir", self.folder, *options]

    def answers(self) -> bool:
        with socket.create_connection((LOOPBACK, self.port), timeout=1) as connection:
            connection.sendall(b"PING\r\n")
            return connection.recv(64) == b"+PONG\r\n"


def redis_cli(port: int, *arguments: str, host: str = LOOPBACK) -> str:
    """Output of `redis-cli ARGUMENTS` against a redis, or a balancer before one; without the newline at its end."""
    command = [apt.command("redis-cli", "redis-tools"), "-h", host, "-p", str(port), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout.rstrip("\n")
