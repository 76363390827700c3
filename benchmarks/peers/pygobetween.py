"""pygobetween of this checkout, run by the Python that runs the benchmarks."""

import subprocess
import sys

from benchmarks.peers.program import Program

VERSION = [sys.executable, "-m", "gobetween_py", "--version"]


def _unavailable() -> str:
    tried = subprocess.run(VERSION, capture_output=True, text=True, check=False)
    return tried.stderr.strip().rpartition("\n")[2] if tried.returncode else ""


PYGOBETWEEN = Program(
    name="pygobetween",
    template="pygobetween.toml",
    backend_line='  "$address weight=$weight",',
    command=lambda config: [sys.executable, "-m", "gobetween_py", "-c", str(config)],
    version_command=VERSION,
    unavailable=_unavailable,
)
