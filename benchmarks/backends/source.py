"""A character generator (as RFC 864, but fast): whoever connects is sent PATTERN again and again until it hangs up.

`python -m benchmarks.backends.source HOST:PORT...` is the server.
"""

import random
import select
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.net import Address, parse_address

PATTERN = random.Random(1).randbytes((1 << 20) + 7)  # odd, so that a page lost or doubled cannot pass for the next one


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.backends.source", *map(str, listening)]


def serve(listening: Sequence[Address]) -> None:
    """Sends PATTERN to every connection, for ever; each gets as much a turn as its socket takes."""
    poller = select.epoll()
    listeners = {}
    for address in listening:
        listener = socket.create_server(address, backlog=1024)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        poller.register(listener, select.EPOLLIN)
    streams: dict[int, tuple[socket.socket, int]] = {}
    twice = memoryview(PATTERN + PATTERN)
    while True:
        for fd, _ in poller.poll():
            if fd in listeners:
                stream, _ = listeners[fd].accept()
                stream.setblocking(False)
                streams[stream.fileno()] = (stream, 0)
                poller.register(stream, select.EPOLLOUT)
                continue
            stream, offset = streams[fd]
            try:
                sent = stream.send(twice[offset : offset + len(PATTERN)])
            except OSError:
                del streams[fd]
                stream.close()
            else:
                streams[fd] = (stream, (offset + sent) % len(PATTERN))


if __name__ == "__main__":
    serve([parse_address(text) for text in sys.argv[1:]])
