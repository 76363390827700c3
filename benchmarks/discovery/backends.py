"""Ten thousand backends on loopback: addresses of 127.0.0.0/8 by generation, one listener behind all of them."""

import socket
import threading
from types import TracebackType
from typing import Self

from tests.services.ports import free_port


class Backends:
    """Accepts on every loopback address at one port, and says of which generation the address is.

    The addresses of generation 3 are 127.3.0.1, 127.3.0.2 and so on. A connection is sent a line with the number of
    its generation, and closed.
    """

    def __init__(self) -> None:
        self.port = free_port()
        self._listener = socket.create_server(("0.0.0.0", self.port), backlog=1024)
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._thread.join()
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection:
                generation = connection.getsockname()[0].split(".")[1]
                connection.sendall(f"{generation}\n".encode())


def hosts(generation: int, count: int) -> list[str]:
    """The first `count` addresses of a generation, 1 to 254; no more than 60,000."""
    return [f"127.{generation}.{number // 250}.{number % 250 + 1}" for number in range(count)]


def generation_behind(port: int) -> int | None:
    """The generation that answers a connection to 127.0.0.1:`port`; None when nobody does."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection, connection.makefile("rb") as lines:
            line = lines.readline()
    except OSError:
        return None
    return int(line) if line else None
