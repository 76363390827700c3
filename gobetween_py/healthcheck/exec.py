"""`exec`: a program looks at the backend and prints its verdict."""

import errno
import os
from typing import Literal, Self

from pydantic import model_validator

from discovery import program
from discovery.fields import Program, Text
from gobetween_py.healthcheck.contract import Check, CheckFailedError, NoVerdictError, Options, Target
from gobetween_py.section import RuleError

MAX_OUTPUT = 65_536
"""Bytes of stdout: a program that prints more is killed."""
MAX_ERRORS = 1024
"""Bytes of stderr that are kept."""
OURS = frozenset({errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
"""Errors of starting a program that tell of this machine, not of the program."""
SHOWN = 200
"""Bytes of an output that a message shows."""


class ExecOptions(Options):
    """What is run, and what its output means."""

    kind: Literal["exec"] = "exec"
    exec_command: Program = ""
    """Called with the backend's host and port as arguments; no shell is involved."""
    exec_expected_positive_output: Text = ""
    """Printed for a healthy backend..."""
    exec_expected_negative_output: Text = ""
    """...and for an unhealthy one. Any other output leaves its status as it was."""

    @model_validator(mode="after")
    def _complete(self) -> Self:
        self.require("exec_command")
        return self

    @model_validator(mode="after")
    def _outputs_differ(self) -> Self:
        if self.exec_expected_positive_output == self.exec_expected_negative_output:
            raise RuleError(
                "must differ from exec_expected_negative_output: give at least one of them",
                "exec_expected_positive_output",
            )
        return self


class Exec(Check):
    """A process for each check. A line feed at the end of its output does not count; an exit status but 0 is a
    failure whatever it printed.
    """

    Options = ExecOptions
    by_name = True
    at_once = 16

    def __init__(self, options: ExecOptions) -> None:
        super().__init__(options)
        self._command = options.exec_command
        self._verdicts = {
            options.exec_expected_negative_output.encode(): False,
            options.exec_expected_positive_output.encode(): True,
        }

    async def check(self, target: Target) -> str:
        ended = await self._run(target)
        printed = f"printed {_shown(ended.output)}"
        if ended.status:
            complaint = f", with on stderr: {ended.errors[-SHOWN:]}" if ended.errors else ""
            raise CheckFailedError(f"{ended.ending}{complaint}")
        passed = self._verdicts.get(ended.output)
        if passed is None:
            passed = self._verdicts.get(ended.output.removesuffix(b"\n"))
        if passed is None:
            raise NoVerdictError(f"{self._command} {printed}, which is neither of the expected outputs")
        if not passed:
            raise CheckFailedError(printed)
        return printed

    async def _run(self, target: Target) -> program.Ended:
        command = [self._command, target.host, str(target.port)]
        try:
            return await program.run(command, most=MAX_OUTPUT, most_errors=MAX_ERRORS)
        except OSError as error:
            words = os.strerror(error.errno or 0)
            if error.errno in OURS:
                raise NoVerdictError(f"cannot run {self._command} now: {words}") from error
            raise CheckFailedError(f"cannot run {self._command}: {words}") from error
        except program.TooMuchOutputError:
            raise NoVerdictError(f"{self._command} printed more than {MAX_OUTPUT >> 10} KiB") from None


def _shown(output: bytes) -> str:
    text = output[:SHOWN].decode(errors="replace")
    return repr(text) + ("..." if len(output) > SHOWN else "")
