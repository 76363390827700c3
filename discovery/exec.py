"""`exec`: a program prints the backends, a line each."""

import asyncio
import contextlib
import logging
import os
import signal
from typing import Annotated, Literal

from pydantic import Field

from discovery.contract import MAX_ANSWER, Answer, Discovery, DiscoveryError, Options
from discovery.fields import Array, Refers, Text
from discovery.line import parse_lines
from discovery.one_line import one_line

logger = logging.getLogger(__name__)

MAX_ERRORS = 4096
"""Bytes of stderr that are kept of one run, its end; the rest is read and dropped."""


class ExecOptions(Options):
    """What to run."""

    kind: Literal["exec"] = "exec"
    exec_command: Annotated[Array[Text], Field(min_length=1), Refers.PROGRAM]
    """The program, then its arguments; no shell is involved."""


class Exec(Discovery):
    """Runs the program for each fetch, in a process group of its own that is killed where the fetch is given up."""

    Options = ExecOptions
    default_timeout = 3.0

    def __init__(self, options: ExecOptions) -> None:
        super().__init__(options)
        self._command = options.exec_command
        self.source = self._command[0]
        self._told = ""

    async def fetch(self) -> Answer:
        starting = asyncio.ensure_future(self._start())
        try:
            # Cancelled in the middle of it, asyncio would kill the program, but nothing that it has started by then.
            transport, run = await asyncio.shield(starting)
        except asyncio.CancelledError:
            starting.add_done_callback(_abandon)
            raise
        try:
            await run.finished
        except BaseException:  # the timeout's cancellation too
            _kill_group(transport.get_pid())
            raise
        finally:
            transport.close()
        status, errors = transport.get_returncode() or 0, run.complaints()
        if status:
            raise DiscoveryError(f"{self.source} {_ending(status)}{_quoted(errors)}")
        self._tell(errors)
        try:
            return await parse_lines(run.output.decode("utf-8-sig"), self.skipped.add)
        except UnicodeDecodeError as error:
            raise DiscoveryError(f"{self.source} printed no UTF-8 text (at byte {error.start})") from error
        except ValueError as error:
            raise DiscoveryError(f"{self.source} printed no list of backends: {error}") from error

    async def _start(self) -> tuple[asyncio.SubprocessTransport, "_Run"]:
        try:
            return await asyncio.get_running_loop().subprocess_exec(
                _Run,
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise DiscoveryError(f"cannot run {self.source}: {reason}") from error

    def _tell(self, errors: str) -> None:
        """A program that succeeds and complains is heard once, not at every fetch."""
        if errors and errors != self._told:
            logger.warning("%s on stderr: %s", self.source, errors)
        self._told = errors


class _Run(asyncio.SubprocessProtocol):
    """One run: what was printed, and when it is over."""

    def __init__(self) -> None:
        self.output = bytearray()
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the program has ended and nothing holds its stdout or stderr open, or has printed too much."""
        self._errors = b""

    def pipe_data_received(self, fd: int, data: bytes) -> None:
        if fd == 2:
            self._errors = (self._errors + data)[-MAX_ERRORS:]
        elif len(self.output) <= MAX_ANSWER:
            self.output += data
            if len(self.output) > MAX_ANSWER:
                self._finish(DiscoveryError(f"the program printed more than {MAX_ANSWER >> 20} MiB"))

    def connection_lost(self, _error: Exception | None) -> None:
        self._finish(None)

    def complaints(self) -> str:
        """The end of what it wrote to stderr, in one line."""
        lines = self._errors.decode(errors="replace").splitlines()
        return one_line(" | ".join(line.strip() for line in lines if line.strip()), MAX_ERRORS)

    def _finish(self, error: DiscoveryError | None) -> None:
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)


def _abandon(starting: "asyncio.Future[tuple[asyncio.SubprocessTransport, _Run]]") -> None:
    """Ends what has been started for a fetch that was given up meanwhile."""
    if not starting.cancelled() and starting.exception() is None:
        transport, _ = starting.result()
        _kill_group(transport.get_pid())
        transport.close()


def _kill_group(leader: int) -> None:
    """SIGKILL to the program and all it started; the group lives on after its leader has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader, signal.SIGKILL)


def _ending(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"


def _quoted(errors: str) -> str:
    return f", with on stderr: {errors[-400:]}" if errors else ""
