"""ClientHellos in any segmentation; what is none; and what a hostile client may send (see fuzz_client_hello.py)."""

import ssl

import pytest

from gobetween_py.proxy.client_hello import LARGEST, MESSAGE, ClientHello, HelloReader, NoHelloError
from tests.gobetween_py.proxy import fuzz_client_hello, hellos
from tests.gobetween_py.proxy.hellos import alpn, extension, greased, message, openssl, records, server_name, sized


def read(data: bytes) -> ClientHello | None:
    return HelloReader().read(data)


@pytest.mark.parametrize("highest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_hello_of_openssl(highest: ssl.TLSVersion) -> None:
    assert read(openssl("www.example.com", highest=highest)) == ClientHello("www.example.com")
    assert read(openssl("a.b", "h2", "http/1.1", highest=highest)) == ClientHello("a.b", ("h2", "http/1.1"))
    assert read(openssl(None, highest=highest)) == ClientHello()


def test_grease_means_nothing() -> None:
    hello = read(greased(b"www.example.com"))
    assert hello is not None
    assert (hello.name, hello.protocols[1:]) == ("www.example.com", ("h2",))


@pytest.mark.parametrize("size", [1, 2, 3, 5, 100, 16_384])
def test_any_segmentation_and_any_records(size: int) -> None:
    """One reader that is given more and more; it knows at the last byte of the message, and not before."""
    data = records(message(server_name(b"www.example.com"), alpn(b"h2")), size)
    reader = HelloReader()
    for end in range(len(data)):
        assert reader.read(data[:end]) is None
    assert reader.read(data + b"what follows") == ClientHello("www.example.com", ("h2",))


def test_a_hello_may_have_16_kib() -> None:
    padding = MESSAGE - len(message(server_name(b"a.com"), extension(21, b""))) + 4
    data = message(extension(21, bytes(padding)), server_name(b"a.com"))
    assert len(data) == MESSAGE + 4
    assert read(records(data)) == ClientHello("a.com")
    assert read(records(data, 6)) == ClientHello("a.com")
    with pytest.raises(NoHelloError, match="a ClientHello of 16385 bytes"):
        read(records(message(extension(21, bytes(padding + 1)), server_name(b"a.com"))))


def test_a_dot_at_the_end_is_no_part_of_the_name() -> None:
    assert read(records(message(server_name(b"a.com.")))) == ClientHello("a.com")


def test_a_hello_without_extensions() -> None:
    body = message()[4:-2]
    assert read(records(b"\1" + sized(body, 3))) == ClientHello()


@pytest.mark.parametrize(
    "data",
    [
        b"GET / HTTP/1.1\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        b"\0",
        b"\x80\x2e\1\0\2",  # SSL 2
        b"\x16\4",
        b"\x16\3\1\0\0",
        b"\x16\3\1\xff\xff",
        b"\x16\3\1\0\5\2",  # a ServerHello
        b"\x15\3\1\0\2\1\0",  # an alert
        records(b"\1" + sized(bytes(10), 3)),
        records(b"\1" + sized(bytes(34) + b"\x40", 3)),
        records(message(server_name(b""))),
        records(message(server_name(b"a b.com"))),
        records(message(server_name("ä.com".encode()))),
        records(message(server_name(b"a" * 256))),
        records(message(server_name(b"a.com"), server_name(b"b.com"))),
        records(message(extension(0, b""))),
        records(message(extension(0, sized(b"\1" + sized(b"a.com", 2), 2)))),
        records(message(extension(0, sized(b"\0" + sized(b"a.com", 2) + b"\0" + sized(b"b.com", 2), 2)))),
        records(message(extension(0, sized(b"\0" + sized(b"a.com", 2), 2) + b"\0"))),
        records(message(extension(16, b"\0"))),
        records(message(extension(16, b"\0\2\0\0"))),
        records(message(extension(16, b"\0\2\5h"))),
        records(message(b"\0\0\0\xff")),
        records(b"\1" + sized(message()[4:] + b"\0", 3)),
    ],
)
def test_what_is_no_hello(data: bytes) -> None:
    with pytest.raises(NoHelloError):
        read(data)


def test_too_many_records_are_no_hello() -> None:
    data = records(message(extension(21, bytes(MESSAGE - 200)), server_name(b"a.com")), 1)
    assert len(data) > LARGEST
    with pytest.raises(NoHelloError, match="no whole ClientHello in 32768 bytes"):
        read(data[:LARGEST])


def test_whole_records_are_not_read_anew_each_time() -> None:
    """Else a byte at a time, in the smallest records, would cost time in proportion to the square of their number."""
    data = records(message(server_name(b"a.com"), extension(21, bytes(10_000))), 100)
    reader, half = HelloReader(), 50 * 105
    assert reader.read(data[:half]) is None
    assert reader.read(bytes(half) + data[half:]) == ClientHello("a.com")


def test_nothing_crashes_the_reader(capsys: pytest.CaptureFixture[str]) -> None:
    """FUZZ=1000000 in the environment is the long run; `python -m tests.gobetween_py.proxy.fuzz_client_hello` too."""
    found = fuzz_client_hello.run(fuzz_client_hello.count())
    assert found.hellos > 0
    assert found.refused > 0
    assert found.incomplete > 0
    with capsys.disabled():
        print(f"\n{found}")


def test_the_fuzzed_hellos_are_right_before_they_are_changed() -> None:
    for seed in fuzz_client_hello.SEEDS:
        assert read(seed) is not None
    assert hellos.GREASE[0] == b"\x0a\x0a"
