"""The http backend over TLS, with a certificate (ECDSA P-256) made for the run."""

import ssl
import subprocess
from collections.abc import Sequence
from pathlib import Path

from benchmarks.backends import http
from benchmarks.net import Address

NAME = "localhost"
"""The server name that clients ask for: ab sends one only where the URL has a host name, which must mean 127.0.0.1."""


def hello() -> bytes:
    """A ClientHello that asks for NAME."""
    context = ssl.create_default_context()
    sent = ssl.MemoryBIO()
    try:
        context.wrap_bio(ssl.MemoryBIO(), sent, server_hostname=NAME).do_handshake()
    except ssl.SSLWantReadError:
        return sent.read()
    raise AssertionError("a handshake with nobody")


def command(listening: Sequence[Address], directory: Path) -> list[str]:
    certificate, key = directory / "tls.pem", directory / "tls.key"
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    paths = ["-keyout", str(key), "-out", str(certificate), "-subj", f"/CN={NAME}"]
    subprocess.run([*make, *paths], check=True, capture_output=True)
    keys = f"ssl_certificate {certificate}; ssl_certificate_key {key};"
    return http.command(listening, directory, name="tls", listen="ssl", more=keys)
