"""Pipes for splice(2), kept between uses: a pipe costs two fds and 10 µs to make and size."""

from __future__ import annotations

import contextlib
import fcntl
import os

SIZE = 1 << 20
"""Bytes asked of a pipe; an unprivileged user gets what /proc/sys/fs/pipe-max-size and its quota allow."""

KEPT = 64
"""Idle pipes kept; more are closed."""

Pipe = tuple[int, int]
"""(read end, write end), both non-blocking."""


class PipePool:
    """A stack of empty pipes."""

    def __init__(self) -> None:
        self._idle: list[Pipe] = []
        self.open = 0

    def take(self) -> Pipe | None:
        """Return an empty pipe, or None when the process is out of fds (the caller then copies)."""
        if self._idle:
            return self._idle.pop()
        try:
            pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError:
            return None
        with contextlib.suppress(OSError):  # over the user's pipe quota: the kernel's default size works too
            fcntl.fcntl(pipe[1], fcntl.F_SETPIPE_SZ, SIZE)
        self.open += 1
        return pipe

    def give(self, pipe: Pipe) -> None:
        """Take back an empty pipe."""
        if len(self._idle) < KEPT:
            self._idle.append(pipe)
        else:
            self.discard(pipe)

    def discard(self, pipe: Pipe) -> None:
        """Close a pipe that still holds bytes of a connection that ended."""
        os.close(pipe[0])
        os.close(pipe[1])
        self.open -= 1

    def close(self) -> None:
        """Close all idle pipes."""
        while self._idle:
            self.discard(self._idle.pop())
