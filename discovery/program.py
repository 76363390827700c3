"""Runs a program for what it prints: bounded output, and nothing of it left behind, whatever it does.

It is started by posix_spawn(3), whose child shares our memory until it runs the program: 0.5 ms however large this
process is, where a fork copies its page tables while every relay waits.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from discovery.one_line import one_line

MAX_PIPE = 1_048_576
"""Bytes that a pipe may hold, unless its user has asked the kernel for more."""
READ = 65_536

IGNORED_BY_PYTHON = {signal.SIGPIPE, signal.SIGXFSZ}
"""Signals that a program would find ignored; it gets them back as they are by default."""


class TooMuchOutputError(Exception):
    """A program printed more than it may, and was killed."""


@dataclass(frozen=True, slots=True)
class Ended:
    """How a program ended, and what it wrote."""

    status: int
    """Its exit status, or minus the signal that killed it."""
    output: bytes
    errors: str
    """The end of what it wrote to stderr, in one line."""

    @property
    def ending(self) -> str:
        """The status in words: "exited with status 1" or "was killed by SIGSEGV"."""
        if self.status >= 0:
            return f"exited with status {self.status}"
        named = -self.status in {*signal.Signals}  # real-time signals are not
        return f"was killed by {signal.Signals(-self.status).name if named else f'signal {-self.status}'}"


async def run(command: Sequence[str], *, most: int, most_errors: int, linger: bool = False) -> Ended:
    """Run a program in a process group of its own, which is killed when the program has ended, or on cancellation.

    So a child that outlives the program is killed too; only one that left the group (setsid(2)) is not.

    Args:
        command: the program, found by PATH if it holds no slash, and its arguments.
        most: bytes that it may print.
        most_errors: bytes of stderr that are kept, its end; the rest is read and dropped.
        linger: children of a program that has ended may go on as long as they hold stdout or stderr open.

    Raises:
        OSError: it cannot be run.
        ValueError: an argument holds a NUL.
        TooMuchOutputError: it printed more than `most` bytes.
    """
    loop = asyncio.get_running_loop()
    over: asyncio.Future[None] = loop.create_future()
    with _Output(most, over) as output, _Output(most_errors) as errors:
        pid, exit_fd = _spawn(command, output, errors)
        loop.add_reader(exit_fd, _exited, exit_fd, over)
        try:
            await over
            if linger:
                await output.ended
                if not output.full:
                    await errors.ended
        finally:
            loop.remove_reader(exit_fd)
            _kill_group(pid)
            status = _reap(pid, exit_fd)
        output.drain()
        errors.drain()
        if output.full:
            raise TooMuchOutputError
        return Ended(status, bytes(output.data), errors.line)


class _Output:
    """One of the program's outputs: a pipe, emptied as it fills.

    Args:
        limit: bytes kept.
        over: settled when there is more, which is then not read; without it, the end of the output is kept.

    Attributes:
        ended: settled when nobody has it open any more, or there is more than the limit.
    """

    def __init__(self, limit: int, over: asyncio.Future[None] | None = None) -> None:
        self.data = bytearray()
        self._limit = limit
        self._over = over
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        self._outlet, self.inlet = os.pipe()
        os.set_blocking(self._outlet, False)
        self._loop.add_reader(self._outlet, self._read)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.remove_reader(self._outlet)
        os.close(self._outlet)
        self.close_inlet()

    def close_inlet(self) -> None:
        """Ours, which the program has its own copy of."""
        if self.inlet >= 0:
            os.close(self.inlet)
            self.inlet = -1

    @property
    def full(self) -> bool:
        """There was more than the limit."""
        return self._over is not None and len(self.data) > self._limit

    @property
    def line(self) -> str:
        """All lines as one."""
        lines = self.data.decode(errors="replace").splitlines()
        return one_line(" | ".join(line.strip() for line in lines if line.strip()), self._limit)

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
            _set(self._over)
        if self.full or not data:
            self._loop.remove_reader(self._outlet)
            _set(self.ended)
        return bool(data)


def _spawn(command: Sequence[str], output: _Output, errors: _Output) -> tuple[int, int]:
    """Start it; returns its pid and an fd that is readable once it has ended. Raises OSError."""
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, output.inlet, 1),
        (os.POSIX_SPAWN_DUP2, errors.inlet, 2),
    ]
    pid = os.posix_spawnp(
        command[0],
        list(command),
        os.environ,
        file_actions=actions,
        setpgroup=0,
        setsigmask=(),
        setsigdef=IGNORED_BY_PYTHON,
    )
    output.close_inlet()
    errors.close_inlet()
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


def _exited(exit_fd: int, over: asyncio.Future[None]) -> None:
    asyncio.get_running_loop().remove_reader(exit_fd)  # which stays readable
    _set(over)


def _set(over: asyncio.Future[None]) -> None:
    if not over.done():
        over.set_result(None)
