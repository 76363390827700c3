"""`exec`: a program prints the backends, a line each."""

import logging
import os
from typing import Annotated, Literal

from pydantic import Field

from discovery import program
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
    """Runs the program for each fetch, in a process group of its own that is killed with it."""

    Options = ExecOptions
    default_timeout = 3.0

    def __init__(self, options: ExecOptions) -> None:
        super().__init__(options)
        self._command = options.exec_command
        self.source = self._command[0]
        self._told = ""

    async def fetch(self) -> Answer:
        try:
            ended = await program.run(self._command, most=MAX_ANSWER, most_errors=MAX_ERRORS, linger=True)
        except (OSError, ValueError) as error:
            reason = os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)
            raise DiscoveryError(f"cannot run {self.source}: {reason}") from error
        except program.TooMuchOutputError:
            raise DiscoveryError(f"the program printed more than {MAX_ANSWER >> 20} MiB") from None
        if ended.status:
            raise DiscoveryError(f"{self.source} {ended.ending}{_quoted(ended.errors)}")
        self._tell(ended.errors)
        try:
            return await parse_lines(ended.output.decode("utf-8-sig"), self.skipped.add)
        except UnicodeDecodeError as error:
            raise DiscoveryError(f"{self.source} printed no UTF-8 text (at byte {error.start})") from error
        except ValueError as error:
            raise DiscoveryError(f"{self.source} printed no list of backends: {error}") from error

    def _tell(self, errors: str) -> None:
        """A program that succeeds and complains is heard once, not at every fetch."""
        if errors and errors != self._told:
            logger.warning("%s on stderr: %s", self.source, errors)
        self._told = errors


def _quoted(errors: str) -> str:
    return f", with on stderr: {errors[-400:]}" if errors else ""
