"""Runs a program for a check: bounded output, and nothing of it left behind, whatever it does.

It is started by posix_spawn(3), whose child shares our memory until it runs the program: 0.5 ms however large this
process is, where a fork copies its page tables while every relay waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import signal
from dataclasses import dataclass
from typing import Self

from gobetween_py.healthcheck.contract import CheckFailedError, NoVerdictError

MAX_OUTPUT = 65_536
"""Bytes of stdout: a program that prints more is killed."""
MAX_ERRORS = 1024
"""Bytes of stderr that are kept, its end; the rest is read and dropped."""
MAX_PIPE = 1_048_576
"""Bytes that a pipe may hold, unless its user has asked the kernel for more."""
READ = 65_536

OURS = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of starting a program that tell of this machine, not of the program."""

IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that a program would find ignored; it gets them back as they are by default."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote."""

    status: int
    """Its exit status, or minus the signal that killed it."""
    output: bytes
    errors: str
    """The end of what it wrote to stderr, in one line."""


async def run(command: list[str]) -> Ended:
    """Run a program in a process group of its own, which is killed when the program has ended, or on cancellation.

    So a child that outlives the program is killed too; only one that left the group (setsid(2)) is not.

    Args:
        command: the program, found by PATH if it holds no slash, and its arguments.

    Raises:
        CheckFailedError: it cannot be run.
        NoVerdictError: it printed too much, or this machine has no room for one more process.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    try:
        with _Output(MAX_OUTPUT, over) as output, _Output(MAX_ERRORS) as errors:
            pid, exit_fd = _spawn(command, output.inlet, errors.inlet)
            loop.add_reader(exit_fd, _set, over)
            try:
                await over
            finally:
                loop.remove_reader(exit_fd)
                _kill_group(pid)
                status = _reap(pid, exit_fd)
            output.drain()
            errors.drain()
    except OSError as error:
        words = os.strerror(error.errno or 0)
        if error.errno in OURS:
            raise NoVerdictError(f"cannot run {command[0]} now: {words}") from error
        raise CheckFailedError(f"cannot run {command[0]}: {words}") from error
    if output.full:
        raise NoVerdictError(f"{command[0]} printed more than {MAX_OUTPUT >> 10} KiB")
    return Ended(status, bytes(output.data), errors.line)


class _Output:
    """One of the program's outputs: a pipe, emptied as it fills.

    Args:
        limit: bytes kept.
        over: settled when there is more, which is then not read; without it, the end of the output is kept.
    """

    def __init__(self, limit: int, over: asyncio.Future[None] | None = None) -> None:
        self.data = bytearray()
        self._limit = limit
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._outlet, self.inlet = os.pipe()
        os.set_blocking(self._outlet, False)
        self._loop.add_reader(self._outlet, self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._outlet)
        os.close(self._outlet)
        os.close(self.inlet)

    @property
    def full(self) -> bool:
        """There was more than the limit."""
        return self._over is not None and len(self.data) > self._limit

    @property
    def line(self) -> str:
        """All lines as one."""
        lines = self.data.decode(errors="replace").splitlines()
        return " | ".join(line.strip() for line in lines if line.strip())

    def drain(self) -> None:
        """Take what is still in the pipe, which is less than its size."""
        for _ in range(1 + MAX_PIPE // READ):
            if not self._read():
                return

    def _read(self) -> bool:
        if self.full:
            return False
        try:
            data = os.read(self._outlet, READ)
        except BlockingIOError:
            return False
        self.data += data
        if self._over is None:
            del self.data[: -self._limit]
        elif self.full:
            self._loop.remove_reader(self._outlet)
            _set(self._over)
        return bool(data)


def _spawn(command: list[str], output: int, errors: int) -> tuple[int, int]:
    """Start it; returns its pid and an fd that is readable once it has ended. Raises OSError."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, errors, 2),
    ]
    pid = os.posix_spawnp(
        command[0], command, os.environ, file_actions=actions, setpgroup=0, setsigmask=(), setsigdef=IGNORED_BY_PYTHON
    )
    try:
        return pid, os.pidfd_open(pid)
    except OSError:
        _kill_group(pid)
        os.waitpid(pid, 0)
        raise


def _kill_group(leader: int) -> None:
    """SIGKILL to the program and all it started; the group lives on after its leader has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _reap(pid: int, exit_fd: int) -> int:
    """The exit status. A killed program may need a moment to end: then it is reaped once it has."""
    loop = asyncio.get_running_loop()
    ended, status = os.waitpid(pid, os.WNOHANG)
    if not ended:
        loop.add_reader(exit_fd, _reap, pid, exit_fd)
        return -signal.SIGKILL
    loop.remove_reader(exit_fd)
    os.close(exit_fd)
    return os.waitstatus_to_exitcode(status)


def _set(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
