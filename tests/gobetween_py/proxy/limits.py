"""Scarcity, made on purpose."""

import contextlib
import os
import resource
from collections.abc import Iterator


@contextlib.contextmanager
def no_fd_left() -> Iterator[list[int]]:
    """This process can open nothing; an fd that is popped from the list and closed leaves room for one."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(fd) for fd in os.listdir("/proc/self/fd"))
    hoard: list[int] = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1, hard))
        with contextlib.suppress(OSError):
            while True:
                hoard.append(os.dup(0))
        yield hoard
    finally:
        for fd in hoard:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
