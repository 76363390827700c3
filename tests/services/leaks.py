"""What a test run must not leave behind: processes, and whatever bears a name made by `process.unique`."""

import ctypes
import os
import signal
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from tests.services.proc import Process, descendants
from tests.services.process import unique

_PR_SET_CHILD_SUBREAPER = 36  # prctl(2)
_CGROUPS = Path("/sys/fs/cgroup")


def adopt_orphans() -> None:
    """Makes this process the parent of what its children leave behind, so that it sees their daemons too."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def children() -> list[Process]:
    """What this process started, directly or not, and is alive."""
    # Python's own multiprocessing keeps its tracker until the interpreter ends.
    return [one for one in descendants(os.getpid()) if "multiprocessing.resource_tracker" not in one.command]


def end_children(patience: float = 3.0) -> list[Process]:
    """Gives the children `patience` seconds to end by themselves, kills the rest, and returns those it killed."""
    deadline = time.monotonic() + patience
    while (left := children()) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    return left


def traces() -> list[str]:
    """Temporary folders, mounts, network namespaces and control groups of this run that are still there."""
    mark = unique("").removesuffix("-")
    mounts = (line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines())
    places = [Path(tempfile.gettempdir()), Path("/run/netns"), _CGROUPS, *_CGROUPS.glob("*/")]
    entries = (str(entry) for place in places if place.is_dir() for entry in place.iterdir())
    return sorted({name for name in (*mounts, *entries) if mark in name})
