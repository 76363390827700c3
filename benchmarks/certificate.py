"""One certificate for everything that speaks TLS in a run: the backends, and the proxies that terminate it."""

import subprocess
from pathlib import Path

NAME = "localhost"
"""The server name that clients ask for: ab sends one only where the URL has a host name, which must mean 127.0.0.1."""


def pair(directory: Path) -> Path:
    """The file with both key and certificate in PEM, as HAProxy wants them."""
    return directory / "pair.pem"


def make(directory: Path) -> None:
    """Makes the pair, signed by itself: ECDSA on P-256."""
    path = str(pair(directory))
    make = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
    subprocess.run([*make, "-keyout", path, "-out", path, "-subj", f"/CN={NAME}"], check=True, capture_output=True)
