"""`python -m benchmarks.load.dribble HOST:PORT PHASE COUNT`: clients that send a byte a second each.

Each has its own moment within the second. Once all are connected and about to dawdle it prints `ready`. It goes on
until it is stopped, and fails when one of them is turned away; what they send never becomes whole.
"""

import functools
import socket
import ssl
import sys
import time
from collections.abc import Callable

from benchmarks.backends.tls import hello
from benchmarks.certificate import NAME
from benchmarks.net import Address, parse_address

HEADER = b"PROXY TCP4 192.0.2.1 192.0.2.2 4711 443\r\n"


def begin_header(sock: socket.socket) -> bytes:
    """A PROXY header."""
    return HEADER


_hello = functools.cache(hello)


def begin_hello(sock: socket.socket) -> bytes:
    """A ClientHello."""
    return _hello()


def begin_finished(sock: socket.socket) -> bytes:
    """The ClientHello is sent in one piece; what is left is the client's answer to what the server says to that."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    came, sent = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = context.wrap_bio(came, sent, server_hostname=NAME)
    while True:
        try:
            tls.do_handshake()
        except ssl.SSLWantReadError:
            sock.sendall(sent.read())
            data = sock.recv(65_536)
            if not data:
                raise ConnectionError("turned away within the handshake") from None
            came.write(data)
        else:
            return sent.read()


PHASES: dict[str, Callable[[socket.socket], bytes]] = {
    "header": begin_header,
    "hello": begin_hello,
    "finished": begin_finished,
}
"""What a client is about to say when it begins to dawdle; the bytes that it has still to send."""


def run(address: Address, phase: str, count: int) -> None:
    """So many clients, until all have sent all but their last byte. Raises OSError: one was turned away."""
    clients = []
    for _ in range(count):
        sock = socket.create_connection(address, timeout=10)
        clients.append((sock, PHASES[phase](sock)))
    print("ready", flush=True)
    for at in range(min(len(data) for _, data in clients) - 1):
        begun = time.monotonic()
        for number, (sock, data) in enumerate(clients):
            sock.send(data[at : at + 1])
            time.sleep(max(0.0, begun + number / count - time.monotonic()))
        time.sleep(max(0.0, begun + 1 - time.monotonic()))


if __name__ == "__main__":
    run(parse_address(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
