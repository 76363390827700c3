"""Addresses on loopback, and waiting for one to answer."""

import socket
import time
from collections.abc import Callable
from typing import NamedTuple


class Address(NamedTuple):
    """An IPv4 address and a port of TCP or UDP; str() gives `host:port`."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Datagram(bytes):
    """What a server is asked over UDP."""


def parse_address(text: str) -> Address:
    """`host:port` as an Address. Raises ValueError naming the text."""
    host, colon, port = text.rpartition(":")
    if not (host and colon and port.isdecimal() and 0 < int(port) < 65536):
        raise ValueError(f"{text!r} is not host:port")
    return Address(host, int(port))


def wait_for_answer(address: Address, probe: bytes, alive: Callable[[], bool], seconds: float = 15.0) -> str:
    """Asks until the address answers `probe` with anything; empty, or what was wrong `seconds` later.

    A Datagram is asked over UDP. That a proxy accepts does not say yet that it has a backend to go to. It gives up
    early once `alive()` is false.
    """
    deadline = time.monotonic() + seconds
    wrong = "the program ended"
    while alive() and time.monotonic() < deadline:
        try:
            with _connected(address, probe) as connection:
                connection.sendall(probe)
                if connection.recv(1):
                    return ""
                wrong = "accepted and closed"
        except OSError as error:
            wrong = str(error)
        time.sleep(0.02)
    return wrong if alive() else "the program ended"


def _connected(address: Address, probe: bytes) -> socket.socket:
    if not isinstance(probe, Datagram):
        return socket.create_connection(address, timeout=1.0)
    connection = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    connection.settimeout(1.0)
    connection.connect(address)
    return connection
