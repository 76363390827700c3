"""A config, running: servers made from it, signals obeyed, and an orderly end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import os
import resource
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvloop

from balancer import Counters
from gobetween_py import log as logs
from gobetween_py.bind import BindError
from gobetween_py.config import Config
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.reload import Outcome, Status
from gobetween_py.server import Server

log = logging.getLogger("pygobetween")

LOOK = 0.05
"""Seconds between looks at whether the last connection has ended."""


def run(config: Config, *, pidfile: Path | None = None) -> int:
    """Run until SIGTERM or SIGINT; returns the exit status: 0, or 1 when it could not start."""
    try:
        logs.configure(config.logging.level, config.logging.output, config.logging.format, secrets=config.secrets())
    except OSError as error:
        return _refuse(f"logging.output: cannot write {config.logging.output}: {error.strerror}")
    _raise_file_limit()
    try:
        with _pidfile(pidfile):
            uvloop.run(App(config).run())
    except BindError as error:
        return _refuse(str(error))
    except OSError as error:
        if pidfile is None or error.filename != str(pidfile):
            raise
        return _refuse(f"pid file: cannot write {pidfile}: {error.strerror}")
    return 0


class App:
    """All servers of a config in one process."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.servers: dict[str, Server] = {}
        self.reloads = Status()
        self._stop = asyncio.Event()
        self._stop_now = asyncio.Event()

    async def run(self) -> None:
        """Start everything, wait for a signal, end in order.

        Raises:
            BindError: a server cannot listen; nothing was started.
        """
        loop = asyncio.get_running_loop()
        reactor = Reactor(loop)
        counters = Counters()
        try:
            for name, server in self.config.servers.items():
                try:
                    self.servers[name] = Server(name, server, reactor, counters)
                except BindError as error:
                    raise BindError(f"servers.{name}.bind: {error}") from error
            for signum in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(signum, self._on_signal, signum)
            await asyncio.gather(*(running.start() for running in self.servers.values()))
            # What was made until here stays: the collector need not look at it again.
            gc.collect()
            gc.freeze()
            notify("READY=1")
            await self._stop.wait()
            notify("STOPPING=1")
            await self._drain()
        finally:
            for running in self.servers.values():
                running.stop_accepting()
            await asyncio.gather(*(running.stop() for running in self.servers.values()))
            reactor.close()

    # Changes of the config while it runs: one at a time, each checked whole before anything is touched.

    async def reload(self, cause: str) -> Outcome:
        """Read the config's source again and apply what differs. What is wrong with it is in the outcome and the log."""
        raise NotImplementedError

    async def apply(self, config: Config) -> None:
        """Make a config the running one: what differs is changed, in place where possible.

        Raises:
            ConfigErrors, BindError, OSError: nothing was changed.
        """
        raise NotImplementedError

    async def add(self, name: str, data: object) -> None:
        """Start one more server.

        Args:
            data: the table of `[servers.NAME]` as plain data; [defaults] fill in what it does not say.

        Raises:
            NameTakenError, ConfigErrors, BindError: nothing was changed. An address that another server has is a
                BindError too.
        """
        raise NotImplementedError

    async def change(self, name: str, data: object) -> None:
        """Give a server another table, whole: in place, connections and counters are kept.

        Raises:
            UnknownServerError, ConfigErrors, BindError: nothing was changed.
        """
        raise NotImplementedError

    async def remove(self, name: str) -> None:
        """Stop a server: it is gone at once from `servers`; its connections may end within its shutdown_timeout.

        Raises:
            UnknownServerError: nothing was changed.
        """
        raise NotImplementedError

    def _on_signal(self, signum: int) -> None:
        if self._stop.is_set():
            self._stop_now.set()
        log.info("%s: stopping%s", signal.Signals(signum).name, " at once" if self._stop.is_set() else "")
        self._stop.set()

    async def _drain(self) -> None:
        """Stop accepting; give open connections each server's shutdown_timeout to end, less after a second signal."""
        for server in self.servers.values():
            server.stop_accepting()
        loop = asyncio.get_running_loop()
        started = loop.time()
        while not self._stop_now.is_set():
            waited = loop.time() - started
            if not any(s.open_connections and waited < s.config.shutdown_timeout for s in self.servers.values()):
                break
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK):
                    await self._stop_now.wait()
        cut = sum(server.open_connections for server in self.servers.values())
        log.info("stopped%s", f", {cut} open connections closed" if cut else "")


def notify(state: str) -> None:
    """Tell systemd our state, if it asked (sd_notify(3)): "READY=1", "STOPPING=1"."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            # "@" stands for the NUL byte of an abstract socket.
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(state.encode())


def _refuse(message: str) -> int:
    print(f"pygobetween: {message}", file=sys.stderr)
    return 1


def _raise_file_limit() -> None:
    """A connection costs two fds, so ask for all that we may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def _pidfile(path: Path | None) -> Iterator[None]:
    """Hold our pid in a file while we run."""
    if path is None:
        yield
        return
    mine = f"{os.getpid()}\n"
    path.write_text(mine)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            if path.read_text() == mine:
                path.unlink()
