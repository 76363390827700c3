"""Server: a real server process that is started, awaited until it answers, and stopped by its pid."""

import os
import signal
import socket
import subprocess
import tempfile
import time
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import ClassVar, Self

from tests.services.proc import group

LOOPBACK = "127.0.0.1"

running: "weakref.WeakSet[Server]" = weakref.WeakSet()
"""Servers with a process, so that a failed test can show what they logged."""


def unique(name: str) -> str:
    """Start of a name for something of this run (a folder, a control group), so that a leak of it is found."""
    return f"gobetween-{os.getpid()}-{name}-"


class StartError(Exception):
    """A server ended, or did not answer in time; the message ends with its log."""


class Startable(ABC):
    """A server, or several that belong together: `with` starts it and closes it."""

    name: ClassVar[str]

    @abstractmethod
    def start(self) -> Self:
        """Starts it and returns when it answers.

        Raises:
            Unavailable: it cannot be had on this machine.
            StartError: it ended, or did not answer in time.
        """

    @abstractmethod
    def close(self) -> None:
        """Stops it and removes its files."""

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(self, *_: object) -> None:
        self.close()


class Server(Startable):
    """A server in a temporary folder of its own, on ports that were free when it was made.

    A subclass says how to install, configure and call it, and how to see that it answers. Ports and folder live as long
    as the object does: stop() or kill(), then start(), is a restart with the same address and data; close() removes the
    folder.
    """

    patience: ClassVar[float] = 30.0
    """Seconds that it may take to answer, and then to stop."""
    stop_signal: ClassVar[int] = signal.SIGTERM

    def __init__(self) -> None:
        self._temporary = tempfile.TemporaryDirectory(prefix=unique(self.name))
        self.folder = Path(self._temporary.name)
        self.log = self.folder / "log"
        self.process: subprocess.Popen[bytes] | None = None
        self.status: int | None = None
        self._log_start = 0

    @abstractmethod
    def command(self) -> Sequence[str | Path]:
        """Writes what configuration it needs into `self.folder` and returns the command that runs in the foreground.

        Raises:
            Unavailable: the server cannot be had on this machine.
        """

    @abstractmethod
    def answers(self) -> bool:
        """Whether it answers a real question now. An OSError counts as no."""

    def environment(self) -> Mapping[str, str]:
        """The process's environment."""
        return os.environ

    def start(self) -> Self:
        if self.process is not None:
            raise RuntimeError(f"{self.name} is already running")
        command = [str(part) for part in self.command()]
        with self.log.open("ab") as log:
            self._log_start = log.tell()
            # A session of its own: Ctrl-C at the terminal ends the tests, and the tests end the servers.
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=dict(self.environment()),
                start_new_session=True,
            )
        running.add(self)
        try:
            self.wait_until_it_answers()
        except BaseException:
            self.kill()
            raise
        return self

    def wait_until_it_answers(self) -> None:
        """Asks until it answers; raises StartError when it ended, or after `patience` seconds."""
        deadline = time.monotonic() + self.patience
        while not self._answers():
            if self.process is None or self.process.poll() is not None:
                status = None if self.process is None else self.process.returncode
                raise StartError(f"{self.name} ended with status {status}; its log:\n{self.log_tail()}")
            if time.monotonic() > deadline:
                raise StartError(f"{self.name} did not answer in {self.patience:g} s; its log:\n{self.log_tail()}")
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            return self.answers()
        except OSError:
            return False

    @property
    def pid(self) -> int:
        """Process id of the running server."""
        if self.process is None:
            raise RuntimeError(f"{self.name} is not running")
        return self.process.pid

    @property
    def main_pid(self) -> int:
        """Process id of the server itself, where what was started is a wrapper around it."""
        return self.pid

    def signal(self, number: int) -> None:
        """Sends a signal to the server itself."""
        os.kill(self.main_pid, number)

    def stop(self) -> None:
        """Sends `stop_signal`, and SIGKILL to what is left after `patience` seconds. Nothing when it is not running."""
        if self.process is None:
            return
        if self.process.poll() is None:
            self.signal(self.stop_signal)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(self.patience)
        self.kill()

    def kill(self) -> None:
        """SIGKILL to the whole process group, as if the machine had died. Nothing happens when it is not running."""
        if self.process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.status = self.process.wait()
        while group(self.process.pid):
            time.sleep(0.005)
        self.process = None
        running.discard(self)

    def restart(self) -> None:
        """stop(), then start(): same ports, same folder."""
        self.stop()
        self.start()

    def close(self) -> None:
        self.stop()
        self._temporary.cleanup()

    def log_text(self) -> str:
        """All that it wrote to stdout and stderr since it was started last."""
        return self.log.read_bytes()[self._log_start :].decode(errors="replace") if self.log.exists() else ""

    def log_tail(self, characters: int = 4000) -> str:
        """The end of its log."""
        return self.log_text()[-characters:]


def tcp_answers(port: int, host: str = LOOPBACK) -> bool:
    """Whether something accepts TCP connections there."""
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False
