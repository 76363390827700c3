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

logger = logging.getLogger(__name__)

MAX_ERRORS = 4096
"""Bytes of stderr that are kept of one run, its end; the rest is read and dropped."""


class ExecOptions(Options):
    """What to run."""

    kind: Literal["exec"] = "exec"
    exec_command: Annotated[Array[Text], Field(min_length=1), Refers.PROGRAM]
    """The program, then its arguments; no shell is involved."""


class Exec(Discovery):
    """Runs the program for each fetch, in a process group of its own that does not outlive a failed one."""

    Options = ExecOptions
    default_timeout = 3.0

    def __init__(self, options: ExecOptions) -> None:
        super().__init__(options)
        self._command = options.exec_command
        self._told = ""

    async def fetch(self) -> Answer:
        process = await self._start()
        try:
            output, errors = await _outcome(process)
        except BaseException:  # the timeout's cancellation too
            await _kill_group(process)
            raise
        if process.returncode != 0:
            raise DiscoveryError(f"{self._command[0]} {_ending(process.returncode or 0)}{_quoted(errors)}")
        self._tell(errors)
        try:
            text = output.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise DiscoveryError(f"{self._command[0]} printed no UTF-8 text (at byte {error.start})") from error
        return await parse_lines(text, self.skipped.add)

    async def _start(self) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self._command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:  # ValueError: a NUL in an argument
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise DiscoveryError(f"cannot run {self._command[0]}: {reason}") from error

    def _tell(self, errors: str) -> None:
        """A program that succeeds and complains is heard once, not at every fetch."""
        if errors and errors != self._told:
            logger.warning("%s on stderr: %s", self._command[0], errors)
        self._told = errors


async def _outcome(process: asyncio.subprocess.Process) -> tuple[bytes, str]:
    """Stdout and the end of stderr, when both are at their end and the process is too."""
    if process.stdout is None or process.stderr is None:
        raise RuntimeError("started without pipes")
    try:
        async with asyncio.TaskGroup() as tasks:
            output = tasks.create_task(_read_output(process.stdout))
            errors = tasks.create_task(_read_errors(process.stderr))
            tasks.create_task(process.wait())
    except ExceptionGroup as group:
        raise group.exceptions[0] from None
    return output.result(), errors.result()


async def _read_output(stream: asyncio.StreamReader) -> bytes:
    output = bytearray()
    while chunk := await stream.read(1 << 16):
        output += chunk
        if len(output) > MAX_ANSWER:
            raise DiscoveryError(f"the program printed more than {MAX_ANSWER >> 20} MiB")
    return bytes(output)


async def _read_errors(stream: asyncio.StreamReader) -> str:
    end = b""
    while chunk := await stream.read(1 << 16):
        end = (end + chunk)[-MAX_ERRORS:]
    return " | ".join(line.strip() for line in end.decode(errors="replace").splitlines() if line.strip())


async def _kill_group(process: asyncio.subprocess.Process) -> None:
    """SIGKILL to the program and all it started; the group lives on after its leader has ended."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()


def _ending(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"


def _quoted(errors: str) -> str:
    return f", with on stderr: {errors[-400:]}" if errors else ""
