"""Reads what backends/source.py sends, through a proxy or not: fast and unread, or slower and compared byte by byte."""

import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.backends.source import PATTERN
from benchmarks.certificate import NAME
from benchmarks.net import Address

CHUNK = 1 << 20


@dataclass(frozen=True, slots=True)
class Drained:
    """Bytes that arrived on all streams, and the seconds it took."""

    bytes: int
    seconds: float


def drain(address: Address, streams: int, go_on: Callable[[], bool], *, tls: bool = False) -> Drained:
    """Opens `streams` connections and counts what arrives while `go_on()` holds.

    The bytes are counted and dropped in the kernel (MSG_TRUNC, see tcp(7)), so that the reader needs little CPU itself.

    Args:
        tls: after a handshake the bytes are counted as they come, encrypted: with them 22 bytes of each record, 0.13 %
            of one of 16 KiB. To decrypt them is the proxy's work over again.

    Raises:
        ConnectionError: a stream ended, which the source never does.
    """
    poller = select.epoll()
    opened = {}
    waste = bytearray(CHUNK)
    total = 0
    try:
        for _ in range(streams):
            stream = _opened(address, tls)
            if isinstance(stream, ssl.SSLSocket):
                stream = socket.socket(fileno=stream.detach())
            stream.setblocking(False)
            opened[stream.fileno()] = stream
            poller.register(stream, select.EPOLLIN)
        started = time.perf_counter()
        while go_on():
            for fd, _ in poller.poll(0.1):
                got = opened[fd].recv_into(waste, 0, socket.MSG_TRUNC)
                if not got:
                    raise ConnectionError(f"{address} ended a stream after {total} bytes")
                total += got
        return Drained(total, time.perf_counter() - started)
    finally:
        for stream in opened.values():
            stream.close()
        poller.close()


def verify(address: Address, count: int, *, tls: bool = False) -> None:
    """Reads `count` bytes of one stream and compares each with what the source sent.

    Raises:
        ValueError: a byte differs; the message has its offset.
        ConnectionError: the stream ended early.
    """
    twice = memoryview(PATTERN + PATTERN)
    buffer = bytearray(len(PATTERN))
    view = memoryview(buffer)
    seen = 0
    with _opened(address, tls) as stream:
        while seen < count:
            got = stream.recv_into(view)
            if not got:
                raise ConnectionError(f"{address} ended the stream after {seen} bytes")
            start = seen % len(PATTERN)
            if view[:got] != twice[start : start + got]:
                raise ValueError(f"{address} changed a byte between {seen} and {seen + got}")
            seen += got


def _opened(address: Address, tls: bool) -> socket.socket:
    stream = socket.create_connection(address, timeout=10)
    if not tls:
        return stream
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context.wrap_socket(stream, server_hostname=NAME)
