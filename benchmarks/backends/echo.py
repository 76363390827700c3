"""Sends every datagram back to whoever it came from. The queries are answered by it too: one answer each.

`python -m benchmarks.backends.echo HOST:PORT...` is the server.
"""

import select
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.net import Address, Datagram, parse_address

PROBE = Datagram(b"are you there?")


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    return [sys.executable, "-m", "benchmarks.backends.echo", *map(str, listening)]


def serve(listening: Sequence[Address]) -> None:
    """Answers for ever, one datagram of each address in turn."""
    poller = select.epoll()
    opened = {}
    for address in listening:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(address)
        opened[sock.fileno()] = sock
        poller.register(sock, select.EPOLLIN)
    while True:
        for fd, _ in poller.poll():
            data, client = opened[fd].recvfrom(65_536)
            opened[fd].sendto(data, client)


if __name__ == "__main__":
    serve([parse_address(text) for text in sys.argv[1:]])
