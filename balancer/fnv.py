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
    IPv4-mapped.

    A zone ("fe80::1%eth0") does not count; a UNIX client ("") has none.
    """
    if not client:
        return b""
    if ":" in client:
        return inet_pton(AF_INET6, client.partition("%")[0])
    return inet_pton(AF_INET, client)


@lru_cache(maxsize=1 << 15)
def client_hash(client: str) -> int:
    """FNV-1a of the client's IP bytes. The last clients are remembered, some 3 MB of them at most."""
    return fnv1a(client_bytes(client))
