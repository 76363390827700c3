"""pygobetween of this checkout, run by the Python that runs the benchmarks; and the same with its access log on,
and with a PROXY header of version 2 for the backends.
"""

import subprocess
import sys
from dataclasses import replace

from benchmarks.peers.program import Program

VERSION = [sys.executable, "-m", "gobetween_py", "--version"]


def _unavailable() -> str:
    tried = subprocess.run(VERSION, capture_output=True, text=True, check=False)
    return tried.stderr.strip().rpartition("\n")[2] if tried.returncode else ""


PYGOBETWEEN = Program(
    name="pygobetween",
    template="pygobetween.toml",
    backend_line='  "$address weight=$weight$options",',
    options={"tls": " sni=localhost"},
    command=lambda config: [sys.executable, "-m", "gobetween_py", "-c", str(config)],
    version_command=VERSION,
    unavailable=_unavailable,
)

LOGGING = replace(
    PYGOBETWEEN,
    name="pygobetween+log",
    extra='\n[access_log]\noutput = "$directory/access.log"\n',
    only=("connections",),  # a line is written at a connection's end, so nothing else gets dearer
)

INTRODUCING = replace(PYGOBETWEEN, name="pygobetween+v2", instead={"http": "proxied"}, only=("connections",))
