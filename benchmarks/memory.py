"""Memory of a process."""

from pathlib import Path


def anonymous_bytes(pid: int) -> int:
    """Bytes of a process that are its own and no file's: heap and stacks, as /proc/PID/smaps_rollup has it.

    Pages of mapped files are left out, because whether these are private changes with what else runs on the machine.
    What the kernel holds for the sockets is no part of it either, so the figure does not depend on the kernel.
    """
    return parse_anonymous(Path(f"/proc/{pid}/smaps_rollup").read_text())


def parse_anonymous(smaps: str) -> int:
    """The Anonymous lines of a smaps text together, in bytes."""
    rows = (line.split() for line in smaps.splitlines())
    return 1024 * sum(int(row[1]) for row in rows if row[0] == "Anonymous:")
