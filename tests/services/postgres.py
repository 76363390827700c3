"""PostgreSQL from Debian's package: a database whose protocol is a long conversation on one connection."""

import os
import pwd
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

_VERSIONS = Path("/usr/lib/postgresql")


class Postgres(Server):
    """An empty database cluster; user `postgres`, no password, on IPv4, IPv6 and a UNIX socket."""

    name = "postgres"
    stop_signal: ClassVar[int] = signal.SIGINT  # "fast" shutdown: SIGTERM would wait until the last client has gone

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.data = self.folder / "data"
        self.socket = self.data / f".s.PGSQL.{self.port}"

    def command(self) -> Sequence[str | Path]:
        postgres = _tool("postgres")
        if not self.data.exists():
            self._create_cluster()
        options = [f"listen_addresses={LOOPBACK},::1", f"unix_socket_directories={self.data}", "fsync=off"]
        settings = [part for option in options for part in ("-c", option)]
        return [*_unprivileged(), postgres, "-D", self.data, "-p", str(self.port), *settings]

    def answers(self) -> bool:
        command: list[str | Path] = [_tool("pg_isready"), "-q", "-h", LOOPBACK, "-p", str(self.port), "-U", "postgres"]
        return subprocess.run(command, check=False).returncode == 0

    def _create_cluster(self) -> None:
        self.data.mkdir(mode=0o700)
        if os.geteuid() == 0:
            self.folder.chmod(0o711)
            shutil.chown(self.data, "postgres", "postgres")
        options = ["--auth=trust", "--username=postgres", "--no-sync", "--no-locale", "--encoding=UTF8"]
        command: list[str | Path] = [*_unprivileged(), _tool("initdb"), "-D", self.data, *options]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


def psql(port: int, sql: str, host: str = LOOPBACK) -> str:
    """Answer of a query (columns divided by `|`, a line a row) at a PostgreSQL, or a balancer before one."""
    options = ["--no-psqlrc", "--no-align", "--tuples-only", "--set=ON_ERROR_STOP=1", f"--command={sql}"]
    return _client("psql", host, port, *options)


def pgbench(port: int, *arguments: str, host: str = LOOPBACK) -> str:
    """Report of a pgbench run at a PostgreSQL, or a balancer before one."""
    return _client("pgbench", host, port, *arguments)


def _client(name: str, host: str, port: int, *arguments: str) -> str:
    command: list[str | Path] = [_tool(name), "-h", host, "-p", str(port), "-U", "postgres", *arguments, "postgres"]
    environment = {**os.environ, "PGSSLMODE": "disable", "PGCONNECT_TIMEOUT": "10"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=100)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: exit status {done.returncode}\n{done.stderr}")
    return done.stdout.rstrip("\n")


def _tool(name: str) -> Path:
    """A program of Debian's newest PostgreSQL; not what another one put into PATH."""
    if not any(_VERSIONS.glob("*/bin/postgres")):
        apt.install("postgresql")
    tools = sorted(_VERSIONS.glob(f"*/bin/{name}"), key=lambda tool: float(tool.parts[-3]))
    if not tools:
        raise apt.Unavailable(f"postgresql brought no {name}")
    return tools[-1]


def _unprivileged() -> list[str]:
    """Prefix of a command that must not run as root; the process keeps its pid."""
    if os.geteuid() != 0:
        return []
    try:
        pwd.getpwnam("postgres")
    except KeyError:
        raise apt.Unavailable("there is no user postgres to run PostgreSQL as") from None
    return ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
