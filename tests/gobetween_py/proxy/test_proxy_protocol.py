"""The header's bytes: what the specification shows, what it forbids, and whatever else may come."""

import random
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.proxy import proxy_protocol as pp
from gobetween_py.proxy.proxy_protocol import Header, HeaderError, build_v1, build_v2, crc32c, parse

V4 = Header(socket.AF_INET, ("192.168.0.1", 56324), ("192.168.0.11", 443))
V6 = Header(socket.AF_INET6, ("2001:db8::1", 1), ("2001:db8::2", 65535))
UNIX = Header(socket.AF_UNIX, ("/run/a.sock", 0), ("/run/b.sock", 0))
UNKNOWN = Header()

ports = st.integers(0, 65535)
v4_addresses = st.tuples(st.ip_addresses(v=4).map(str), ports)
v6_addresses = st.tuples(st.ip_addresses(v=6).map(lambda a: socket.inet_ntop(socket.AF_INET6, a.packed)), ports)
tlvs = st.lists(
    st.tuples(st.integers(0, 255).filter(lambda kind: kind != pp.CRC32C), st.binary(max_size=128)), max_size=6
).map(tuple)
headers = st.builds(Header, st.just(int(socket.AF_INET)), v4_addresses, v4_addresses, tlvs, st.booleans()) | st.builds(
    Header, st.just(int(socket.AF_INET6)), v6_addresses, v6_addresses, tlvs, st.booleans()
)


def test_the_line_of_the_specification() -> None:
    line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\n"
    assert parse(line + b"GET / HTTP/1.1\r\n") == (V4, len(line))
    assert build_v1(V4) == line


def test_the_longest_lines() -> None:
    all_f = "ffff:" * 7 + "ffff"
    longest = f"PROXY TCP6 {all_f} {all_f} 65535 65535\r\n".encode()
    assert len(longest) == 104
    assert parse(longest) == (Header(socket.AF_INET6, (all_f, 65535), (all_f, 65535)), 104)
    unknown = f"PROXY UNKNOWN {all_f} {all_f} 65535 65535\r\n".encode()
    assert len(unknown) == 107
    assert parse(unknown) == (UNKNOWN, 107)


@pytest.mark.parametrize(
    "line", [b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN \r\n", b"PROXY UNKNOWN anything \xff at all\r\n"]
)
def test_unknown_ignores_the_rest_of_the_line(line: bytes) -> None:
    assert parse(line + b"data") == (UNKNOWN, len(line))


@pytest.mark.parametrize(
    "line",
    [
        b"GET / HTTP/1.1\r\n",
        b"PROXY\r\n",
        b"proxy TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY  TCP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4  1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2 \r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\r\r\n",
        b"PROXY TCP4 1.2.3.04 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 1.2.3.256 1.2.3.4 1 2\r\n",
        b"PROXY TCP4 ::1 ::2 1 2\r\n",
        b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY TCP6 ::1::2 ::2 1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 65536 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 -1 2\r\n",
        b"PROXY TCP4 1.2.3.4 1.2.3.4 1\r\n",
        b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n",
        b"PROXY UNKNOWNX\r\n",
        b"PROXY UNKNOWN\n",
        b"PROXY TCP4 " + b"1" * 100,
        b"\r\n\r\nGET / HTTP/1.1\r\n",
    ],
)
def test_a_line_that_does_not_match_exactly_is_malformed(line: bytes) -> None:
    with pytest.raises(HeaderError):
        parse(line)


@pytest.mark.parametrize("header", [V4, V6, UNIX])
def test_version_2_tells_every_family(header: Header) -> None:
    built = build_v2(header)
    assert parse(built + b"data") == (header, len(built))
    assert len(built) == 16 + {socket.AF_INET: 12, socket.AF_INET6: 36, socket.AF_UNIX: 216}[header.family]


def test_the_bytes_of_version_2() -> None:
    assert (
        build_v2(V4).hex(" ") == "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 21 11 00 0c c0 a8 00 01 c0 a8 00 0b dc 04 01 bb"
    )
    assert build_v2(UNKNOWN).hex(" ") == "0d 0a 0d 0a 00 0d 0a 51 55 49 54 0a 20 00 00 00"


def test_what_version_1_cannot_tell_is_unknown() -> None:
    assert build_v1(UNIX) == build_v1(UNKNOWN) == b"PROXY UNKNOWN\r\n"


@given(v4_addresses, v4_addresses)
def test_the_quick_way_builds_the_same(source: pp.Address, destination: pp.Address) -> None:
    assert pp.build_tcp4(source, destination) == build_v2(Header(socket.AF_INET, source, destination))


@pytest.mark.parametrize("kind", [0x00, 0x11, 0x31, 0x77, 0xFF])
def test_of_a_local_header_everything_is_ignored(kind: int) -> None:
    """Its length is not: what it announces is passed over."""
    local = pp.SIGNATURE + bytes([0x20, kind, 0, 5]) + b"\xff" * 5
    assert parse(local + b"data") == (UNKNOWN, 21)


@pytest.mark.parametrize("kind", [0x00, 0x01, 0x02, 0x10, 0x20, 0x30])
def test_an_unspecified_family_or_transport_falls_back_to_the_connection(kind: int) -> None:
    assert parse(pp.SIGNATURE + bytes([0x21, kind, 0, 3]) + b"abc" + b"data") == (UNKNOWN, 19)


@pytest.mark.parametrize(
    "tail",
    [
        bytes([0x11, 0x11, 0, 12]) + bytes(12),  # version 1
        bytes([0x31, 0x11, 0, 12]) + bytes(12),  # version 3
        bytes([0x22, 0x11, 0, 12]) + bytes(12),  # command 2
        bytes([0x21, 0x41, 0, 12]) + bytes(12),  # family 4
        bytes([0x21, 0x13, 0, 12]) + bytes(12),  # transport 3
        bytes([0x21, 0x11, 0, 11]) + bytes(11),  # too short for IPv4
        bytes([0x21, 0x21, 0, 35]) + bytes(35),  # for IPv6
        bytes([0x21, 0x31, 0, 215]) + bytes(215),  # for UNIX
        bytes([0x21, 0x11, 0xFF, 0xFF]),  # too large
        bytes([0x21, 0x11, 0, 14]) + bytes(14),  # half a TLV
        bytes([0x21, 0x11, 0, 16]) + bytes(12) + bytes([4, 0, 2, 0]),  # a TLV that is longer than the header
        bytes([0x21, 0x11, 0, 17]) + bytes(12) + bytes([3, 0, 2, 0, 0]),  # a checksum of two bytes
    ],
)
def test_a_broken_binary_header_is_malformed(tail: bytes) -> None:
    with pytest.raises(HeaderError):
        parse(pp.SIGNATURE + tail)


def test_the_checksum_is_crc32c() -> None:
    """RFC 3720, B.4: 32 bytes of zeroes."""
    assert crc32c(bytes(32)).to_bytes(4, "little").hex() == "aa36918a"
    assert crc32c(b"123456789") == 0xE3069283


@given(headers)
def test_a_checksum_is_verified(header: Header) -> None:
    built = build_v2(header, checksum=True)
    assert parse(built) == (header, len(built))
    for place in range(16, len(built) - 7):
        wrong = bytearray(built)
        wrong[place] ^= 1
        with pytest.raises(HeaderError):
            parse(bytes(wrong))


@given(headers, st.binary(max_size=64))
def test_any_segmentation_gives_the_same_header(header: Header, data: bytes) -> None:
    """Every beginning of a header is incomplete, never wrong; what follows it is not looked at."""
    line = build_v1(header)
    told = UNKNOWN if header.datagram else Header(header.family, header.source, header.destination)
    for built, expected in (line, told), (build_v2(header), header):
        assert parse(built + data) == (expected, len(built))
        assert all(parse(built[:end]) is None for end in range(len(built)))


def test_a_client_of_a_dual_stack_socket_is_told_as_ipv4() -> None:
    header = pp.between(socket.AF_INET6, ("::ffff:192.0.2.1", 5), ("::ffff:192.0.2.2", 6))
    assert header == Header(socket.AF_INET, ("192.0.2.1", 5), ("192.0.2.2", 6))
    assert pp.between(socket.AF_INET6, ("::1", 5), ("::1", 6)).family == socket.AF_INET6


@pytest.mark.parametrize(
    ("certified", "resumed", "start"),
    [
        (False, False, "01 00000001"),
        (False, True, "01 00000001"),
        (True, False, "07 00000000"),
        (True, True, "05 00000000"),
    ],
)
def test_what_tls_a_client_speaks(certified: bool, resumed: bool, start: str) -> None:
    """Bits: over TLS, certified in this connection, certified in its session; then 0 where that was verified."""
    name = "Jörg" if certified else ""
    value = pp.ssl_information(version="TLSv1.3", cipher="X", common_name=name, certified=certified, resumed=resumed)
    told = b"\x21\0\7TLSv1.3" + (b"\x22\0\5J\xc3\xb6rg" if certified else b"") + b"\x23\0\1X"
    assert value == bytes.fromhex(start) + told


def test_too_much_to_tell_is_an_error() -> None:
    with pytest.raises(ValueError, match="more than 4096 bytes"):
        build_v2(Header(V4.family, V4.source, V4.destination, ((0xE0, bytes(4096)),)))


def test_nothing_crashes_the_parser(capsys: pytest.CaptureFixture[str]) -> None:
    """Random bytes, and headers with random changes: a header, None or HeaderError, and never more bytes than given."""
    count, found, draw = 200_000, 0, random.Random(1)
    seeds = [build_v1(V4), build_v1(V6), b"PROXY UNKNOWN\r\n", build_v2(V4), build_v2(V6), build_v2(UNIX)]
    seeds += [build_v2(Header(V4.family, V4.source, V4.destination, ((1, b"h2"), (2, b"a.example"))), checksum=True)]
    for _ in range(count):
        data = bytearray(draw.choice(seeds) if draw.random() < 0.9 else draw.randbytes(draw.randrange(64)))
        for _ in range(draw.randrange(4)):
            if data:
                data[draw.randrange(len(data))] = draw.randrange(256)
        try:
            result = parse(bytes(data[: draw.randrange(len(data) + 1)] if draw.random() < 0.2 else data))
        except HeaderError:
            continue
        if result is not None:
            found += 1
            assert 15 <= result[1] <= len(data)
    assert found > count / 10
    with capsys.disabled():
        print(f"\nPROXY headers fuzzed: {count}, of which headers: {found}")
