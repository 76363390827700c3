"""A server of one connection on loopback."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from benchmarks.net import Address


@contextmanager
def serving(talk: Callable[[socket.socket], None]) -> Iterator[Address]:
    """Accepts one connection, lets `talk` have it, and closes it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection, suppress(ConnectionError):  # a reader that found a fault hangs up
                talk(connection)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield Address(*listener.getsockname())
        finally:
            thread.join()
