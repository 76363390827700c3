"""Addresses on loopback, and waiting for one to answer."""

import socket
import time
from collections.abc import Callable
from typing import NamedTuple


class Address(NamedTuple):
    """An IPv4 address and TCP port; str() gives `host:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """`host:port` as an Address. Raises ValueError naming the text."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not host:port")
    return Address(host, int(port))


def free_port(hosts: list[str]) -> int:
    """A port that is free on all of the hosts at this moment."""
    for _ in range(100):
        sockets: list[socket.socket] = []
        try:
            port = 0
            for host in hosts:
                sockets.append(socket.socket())
                sockets[-1].bind((host, port))
                port = sockets[-1].getsockname()[1]
        except OSError:
            continue
        else:
            return port
        finally:
            for opened in sockets:
                opened.close()
    raise OSError(f"no port is free on all of {', '.join(hosts)}")


def wait_until_open(address: Address, alive: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether the address accepted a connection within `seconds`; gives up early once `alive()` is false."""
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        try:
            socket.create_connection(address, timeout=1.0).close()
        except OSError:
            time.sleep(0.02)
        else:
            return True
    return False
