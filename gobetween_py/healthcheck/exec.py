"""`exec`: a program looks at the backend and prints its verdict."""

import signal
from typing import Literal, Self

from pydantic import model_validator

from discovery.fields import Program, Text
from gobetween_py.healthcheck import program
from gobetween_py.healthcheck.contract import Check, CheckFailedError, NoVerdictError, Options, Target
from gobetween_py.section import RuleError

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
        ended = await program.run([self._command, target.host, str(target.port)])
        printed = f"printed {_shown(ended.output)}"
        if ended.status:
            complaint = f", with on stderr: {ended.errors[-SHOWN:]}" if ended.errors else ""
            raise CheckFailedError(f"{_ending(ended.status)}{complaint}")
        passed = self._verdicts.get(ended.output)
        if passed is None:
            passed = self._verdicts.get(ended.output.removesuffix(b"\n"))
        if passed is None:
            raise NoVerdictError(f"{self._command} {printed}, which is neither of the expected outputs")
        if not passed:
            raise CheckFailedError(printed)
        return printed


def _ending(status: int) -> str:
    return f"was killed by {signal.Signals(-status).name}" if status < 0 else f"exited with status {status}"


def _shown(output: bytes) -> str:
    text = output[:SHOWN].decode(errors="replace")
    return repr(text) + ("..." if len(output) > SHOWN else "")
