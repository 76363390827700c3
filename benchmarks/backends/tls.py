"""The http backend over TLS."""

import ssl
from collections.abc import Sequence
from pathlib import Path

from benchmarks import certificate
from benchmarks.backends import http
from benchmarks.net import Address


def hello() -> bytes:
    """A ClientHello that asks for the certificate's name."""
    context = ssl.create_default_context()
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=certificate.NAME).do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a handshake with nobody")


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    pair = certificate.pair(directory)
    keys = f"ssl_certificate {pair}; ssl_certificate_key {pair};"
    return http.command(listening, directory, name="tls", listen="ssl", more=keys)
