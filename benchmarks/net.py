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


def wait_until_answering(address: Address, probe: bytes, alive: Callable[[], bool], seconds: float = 15.0) -> bool:
    """Whether the address answered `probe` with anything within `seconds`; gives up early once `alive()` is false.

    That a proxy accepts does not say yet that it has a backend to go to.
    """
    deadline = time.monotonic() + seconds
    while alive() and time.monotonic() < deadline:
        try:
            with socket.create_connection(address, timeout=1.0) as connection:
                connection.sendall(probe)
                if connection.recv(1):
                    return True
        except OSError:
            pass
        time.sleep(0.02)
    return False
