"""Memory of a process."""

from pathlib import Path


def private_bytes(pid: int) -> int:
    """Bytes of user space that belong to this process alone (USS), as /proc/PID/smaps_rollup has it.

    What the kernel holds for the sockets is no part of it, so the figure does not depend on the kernel or its buffers.
    """
    return parse_private(Path(f"/proc/{pid}/smaps_rollup").read_text())


def parse_private(smaps: str) -> int:
    """The sum of the Private_ lines of a smaps text, in bytes."""
    rows = (line.split() for line in smaps.splitlines())
    return 1024 * sum(int(row[1]) for row in rows if row[0] in {"Private_Clean:", "Private_Dirty:", "Private_Hugetlb:"})
