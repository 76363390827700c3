"""Free loopback ports for servers that cannot pick one themselves."""

import random
import socket

# Outgoing connections take their ports from 32768 up (net.ipv4.ip_local_port_range). A server's port lies below, so
# that a load test beside it cannot take the port between the moment it was picked and the moment the server binds it.
_RANGE = range(12_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """A port that is free for TCP and UDP, IPv4 and IPv6, on every address; never the same one twice in a process."""
    while True:
        port = random.choice(_RANGE)
        if port not in _given and _is_free(port):
            _given.add(port)
            return port


def free_ports(count: int) -> list[int]:
    """`count` different free ports."""
    return [free_port() for _ in range(count)]


def reserve(port: int) -> socket.socket:
    """Keeps other test runs off a TCP port that a server has only from time to time, until the socket is closed."""
    reservation = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    reservation.bind(("0.0.0.0", port))
    return reservation


def _is_free(port: int) -> bool:
    for family, host in (socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::"):
        for kind in socket.SOCK_STREAM, socket.SOCK_DGRAM:
            with socket.socket(family, kind) as probe:
                if family == socket.AF_INET6:
                    probe.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
                try:
                    probe.bind((host, port))
                except OSError:
                    return False
    return True
