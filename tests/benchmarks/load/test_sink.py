import socket
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmarks import certificate
from benchmarks.backends.source import PATTERN
from benchmarks.load import sink
from tests.benchmarks.load.loopback import serving

STREAM = PATTERN + PATTERN[:100_000]


def sender(sent: bytes) -> Callable[[socket.socket], None]:
    return lambda connection: connection.sendall(sent)


def encrypting(directory: Path, sent: bytes) -> Callable[[socket.socket], None]:
    certificate.make(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pair(directory))
    context.num_tickets = 0  # they would be counted

    def send(connection: socket.socket) -> None:
        with context.wrap_socket(connection, server_side=True) as tls:
            tls.sendall(sent)

    return send


def test_the_stream_of_the_source_is_accepted_past_the_end_of_its_pattern() -> None:
    with serving(sender(STREAM)) as address:
        sink.verify(address, len(STREAM))


@pytest.mark.parametrize("offset", [0, 4096, len(PATTERN) - 1, len(PATTERN), len(STREAM) - 1])
def test_one_changed_byte_is_found(offset: int) -> None:
    changed = bytearray(STREAM)
    changed[offset] ^= 1
    with serving(sender(bytes(changed))) as address, pytest.raises(ValueError, match="changed a byte"):
        sink.verify(address, len(STREAM))


@pytest.mark.parametrize("twice", [slice(0, 4096), slice(4096, 8192)])
def test_a_doubled_page_is_found(twice: slice) -> None:
    doubled = STREAM[: twice.stop] + STREAM[twice] + STREAM[twice.stop :]
    with serving(sender(doubled)) as address, pytest.raises(ValueError, match="changed a byte"):
        sink.verify(address, len(STREAM))


def test_a_stream_that_ends_early_is_an_error() -> None:
    with serving(sender(STREAM[:5000])) as address, pytest.raises(ConnectionError, match="after 5000 bytes"):
        sink.verify(address, len(STREAM))


def test_draining_counts_what_arrives() -> None:
    """The bytes are dropped in the kernel; their number must be right all the same."""
    turns = iter(range(1_000_000))
    with serving(sender(STREAM)) as address, pytest.raises(ConnectionError, match=f"after {len(STREAM)} bytes"):
        sink.drain(address, 1, lambda: next(turns) >= 0)


def test_over_tls_the_bytes_are_decrypted_and_compared(tmp_path: Path) -> None:
    changed = STREAM[:5000] + b"!" + STREAM[5001:]
    with serving(encrypting(tmp_path, STREAM)) as address:
        sink.verify(address, len(STREAM), tls=True)
    with serving(encrypting(tmp_path, changed)) as address, pytest.raises(ValueError, match="changed a byte"):
        sink.verify(address, len(STREAM), tls=True)


def test_over_tls_draining_counts_the_records_as_they_come(tmp_path: Path) -> None:
    """TLS 1.3 makes records of 16 KiB, with 22 bytes more each."""
    turns = iter(range(1_000_000))
    records = -(-len(STREAM) // 16_384)
    counted = f"after {len(STREAM) + 22 * records} bytes"
    with serving(encrypting(tmp_path, STREAM)) as address, pytest.raises(ConnectionError, match=counted):
        sink.drain(address, 1, lambda: next(turns) >= 0, tls=True)
