"""FNV-1a, 32 bits (draft-eastlake-fnv), and the hash of a client that gobetween makes with it."""

from functools import lru_cache
from socket import AF_INET, AF_INET6, inet_pton

OFFSET_BASIS = 0x811C9DC5
PRIME = 0x01000193
MASK = 0xFFFFFFFF


def fnv1a(data: bytes, state: int = OFFSET_BASIS) -> int:
    """Hash the data, or go on from the state that the bytes before it left."""
    for byte in data:
        state = (state ^ byte) * PRIME & MASK
    return state


def client_bytes(client: str) -> bytes:
    """The bytes of an IP as Go's net.IP of an accepted connection holds them: 4 for IPv4, 16 for IPv6 and
    IPv4-mapped. Where the client is an IP and a port ("192.0.2.7#5353"), the two bytes of the port follow.

    A zone ("fe80::1%eth0") does not count; a UNIX client ("") has none.
    """
    host, _, port = client.partition("#")
    if not host:
        return b""
    address = inet_pton(AF_INET6, host.partition("%")[0]) if ":" in host else inet_pton(AF_INET, host)
    return address + int(port).to_bytes(2, "big") if port else address


@lru_cache(maxsize=1 << 15)
def client_hash(client: str) -> int:
    """FNV-1a of the client's IP bytes. The last clients are remembered, some 3 MB of them at most."""
    return fnv1a(client_bytes(client))
