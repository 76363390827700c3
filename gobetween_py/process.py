"""What a process owes to those around it: systemd, who looks for its pid, the kernel's limits."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Callable, Iterator
from pathlib import Path


def notify(state: str) -> None:
    """Tell systemd our state, if it asked (sd_notify(3)): "READY=1", "STOPPING=1". Who does not listen misses it."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if address:
        with (
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock,
            contextlib.suppress(OSError),
        ):
            # "@" stands for the NUL byte of an abstract socket.
            sock.connect("\0" + address[1:] if address.startswith("@") else address)
            sock.send(state.encode())


def raise_file_limit() -> None:
    """A connection costs two fds, so ask for all that we may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@contextlib.contextmanager
def holding_pid(path: Path | None) -> Iterator[Callable[[], None]]:
    """Hold our pid in a file, from when what is yielded is called.

    That is to be once we have started: one that cannot, because the same program runs already, leaves that one's alone.
    """
    mine = f"{os.getpid()}\n"

    def write() -> None:
        if path is not None:
            path.write_text(mine)

    try:
        yield write
    finally:
        with contextlib.suppress(OSError):
            if path is not None and path.read_text() == mine:
                path.unlink()
