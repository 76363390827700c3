"""FNV-1a and the bytes of a client, as Go has them."""

import pytest

from balancer.fnv import client_bytes, client_hash, fnv1a


@pytest.mark.parametrize(("data", "value"), [(b"", 0x811C9DC5), (b"a", 0xE40C292C), (b"foobar", 0xBF9CF968)])
def test_the_vectors_of_its_authors(data: bytes, value: int) -> None:
    assert fnv1a(data) == value


def test_a_hash_goes_on_from_the_state_before() -> None:
    assert fnv1a(b"bar", fnv1a(b"foo")) == fnv1a(b"foobar")


@pytest.mark.parametrize(
    ("client", "data"),
    [
        ("1.2.3.4", b"\1\2\3\4"),
        ("::ffff:1.2.3.4", bytes(10) + b"\xff\xff\1\2\3\4"),
        ("::1", bytes(15) + b"\1"),
        ("fe80::1%eth0", b"\xfe\x80" + bytes(13) + b"\1"),
        ("", b""),
        ("1.2.3.4#258", b"\1\2\3\4\1\2"),
        ("::1#53", bytes(15) + b"\1\0\x35"),
    ],
)
def test_client_bytes(client: str, data: bytes) -> None:
    assert client_bytes(client) == data


@pytest.mark.parametrize(
    ("client", "value"),
    [("1.2.3.4", 0x5734A87D), ("::ffff:1.2.3.4", 0xC2D83483), ("2001:db8::1", 0x6E5B04F4), ("", 0x811C9DC5)],
)
def test_a_client_hashes_as_by_hash_fnv_of_go(client: str, value: int) -> None:
    assert client_hash(client) == value
