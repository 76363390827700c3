"""`exec`: a program prints the backends, a line each."""

from typing import Annotated, Literal

from pydantic import Field

from discovery.contract import Options
from discovery.fields import Array, Refers, Text


class ExecOptions(Options):
    """What to run."""

    kind: Literal["exec"] = "exec"
    exec_command: Annotated[Array[Text], Field(min_length=1), Refers.PROGRAM]
    """The program, then its arguments; no shell is involved."""
