"""Where lines go: a file, a standard stream, syslog. All of this may block, and runs in the writer's thread."""

from __future__ import annotations

import os
import select
import socket
import stat
import time
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from gobetween_py.config.access_log import Output

PIECE = select.PIPE_BUF
"""Bytes written at once where others may write too: a pipe takes that much whole or not at all."""

FILE_PIECE = 1 << 16

LINE_END = ord("\n")

STREAMS = {"stdout": 1, "stderr": 2}

FACILITIES = {"user": 1, "daemon": 3, **{f"local{number}": 16 + number for number in range(8)}}
INFO = 6
"""The severity of every line; RFC 5424, section 6.2.1."""


class Target(Protocol):
    """What lines are written to."""

    def open(self) -> None:
        """Open it, or open it again, which leaves it as it was if that fails.

        Raises:
            OSError: it cannot be opened.
        """

    def write(self, lines: Sequence[str]) -> tuple[int, OSError | None]:
        """Write lines, without their line ends: how many were written, and what stopped it."""

    def close(self) -> None:
        """Close it."""


def target_of(output: Output, facility: str) -> Target:
    """What an output of the config stands for; not open yet."""
    if output.kind == "syslog":
        return Syslog(output, facility)
    return Stream(STREAMS[output.kind]) if output.kind in STREAMS else File(output.path)


class Stream:
    """A standard stream of this process, or anything else with an open descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._piece = PIECE
        self._torn = False  # the last write ended within a line

    def open(self) -> None:
        """Nothing to do: it is open."""

    def write(self, lines: Sequence[str]) -> tuple[int, OSError | None]:
        """Write pieces that end with a line, so that others can write to the same pipe in between."""
        written = 0
        for piece in pieces(lines, self._piece):
            start = b"\n" if self._torn else b""
            data, done = memoryview(start + piece), 0
            try:
                while done < len(data):
                    done += self._write(data[done:])
            except OSError as error:
                if done:
                    self._torn = data[done - 1] != LINE_END
                return written + bytes(data[len(start) : done]).count(b"\n"), error
            self._torn = False
            written += piece.count(b"\n")
        return written, None

    def _write(self, data: memoryview) -> int:
        while True:
            try:
                return os.write(self._fd, data)
            except BlockingIOError:  # whoever gave us the stream made it non-blocking
                room = select.poll()
                room.register(self._fd, select.POLLOUT)
                room.poll()

    def close(self) -> None:
        """Nothing to do: it is not ours."""


class File(Stream):
    """A file that is appended to, or a FIFO."""

    def __init__(self, path: str) -> None:
        super().__init__(-1)
        self._path = path

    def open(self) -> None:
        """Open the file of that name, and make it if there is none."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOCTTY
        try:
            if stat.S_ISFIFO(os.stat(self._path).st_mode):
                # Linux opens a FIFO for both without waiting for a reader, and a reader that leaves is no error.
                flags = os.O_RDWR | os.O_CLOEXEC
        except FileNotFoundError:
            pass
        before, self._fd = self._fd, os.open(self._path, flags, 0o640)
        if before >= 0:
            os.close(before)
        self._piece = FILE_PIECE if stat.S_ISREG(os.fstat(self._fd).st_mode) else PIECE
        self._torn = False

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Syslog:
    """A syslog daemon: a datagram a line, in the form of RFC 3164 to a local socket and of RFC 5424 over UDP."""

    def __init__(self, output: Output, facility: str) -> None:
        self._output = output
        self._priority = FACILITIES[facility] * 8 + INFO
        self._socket: socket.socket | None = None

    def open(self) -> None:
        """Connect: to the socket that lies there now, or to the address that the name has now."""
        fresh = _connected(self._output)
        self.close()
        self._socket = fresh

    def write(self, lines: Sequence[str]) -> tuple[int, OSError | None]:
        """Send them; to a daemon that was started anew meanwhile, after connecting again."""
        prefix, written = self._prefix(), 0
        for line in lines:
            data = prefix + line.encode(errors="backslashreplace")
            try:
                self._send(data)
            except OSError as error:
                self.close()
                return written, error
            written += 1
        return written, None

    def _send(self, data: bytes) -> None:
        if self._socket is not None:
            try:
                self._socket.send(data)
            except ConnectionError:  # the daemon that had the socket is gone: is there a new one?
                pass
            else:
                return
        self.open()
        assert self._socket is not None
        self._socket.send(data)

    def _prefix(self) -> bytes:
        now, pid = time.time(), os.getpid()
        if self._output.path:
            stamp = time.strftime("%b %e %H:%M:%S", time.localtime(now))
            return f"<{self._priority}>{stamp} pygobetween[{pid}]: ".encode()
        stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now))
        host = socket.gethostname() or "-"
        return f"<{self._priority}>1 {stamp} {host} pygobetween {pid} access - ".encode()

    def close(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _connected(output: Output) -> socket.socket:
    family: int = socket.AF_UNIX
    address: Any = output.path
    if output.host:
        family, _, _, _, address = socket.getaddrinfo(output.host, output.port, type=socket.SOCK_DGRAM)[0]
    sock = socket.socket(family, socket.SOCK_DGRAM)
    try:
        sock.connect(address)
    except OSError:
        sock.close()
        raise
    return sock


def pieces(lines: Sequence[str], size: int) -> Iterator[bytes]:
    """Lines with their ends, joined to pieces of at most `size` bytes; a longer line is a piece of its own."""
    data = "\n".join([*lines, ""]).encode(errors="backslashreplace")
    while len(data) > size:
        cut = data.rfind(b"\n", 0, size) + 1 or data.find(b"\n") + 1
        yield data[:cut]
        data = data[cut:]
    if data:
        yield data
