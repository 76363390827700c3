"""The certificates by which an LXD server and its clients know each other, in files that lxc shares.

client.crt, client.key        shown to servers
servercerts/NAME.crt          the certificate of the server that the config calls NAME, if it was accepted
"""

import asyncio
import fcntl
import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from discovery.contract import DiscoveryError
from discovery.daemon.endpoint import Endpoint
from discovery.tls import client_context

VALID = timedelta(days=3650)
"""Of a generated certificate, as that of lxc; a server trusts it until told otherwise."""


class Trust:
    """What lies in the config directory for one server.

    Args:
        folder: the config directory; made where something is to be written.
        name: of the server.
    """

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.certificate = folder / "client.crt"
        self.key = folder / "client.key"
        self.pinned = folder / "servercerts" / f"{name}.crt"

    def context(self) -> ssl.SSLContext:
        """Shows the client's certificate where there is one, and accepts the pinned one alone where there is one.

        Raises:
            DiscoveryError: naming the file that cannot be read.
        """
        certificate, key = (str(self.certificate), str(self.key)) if self.certificate.exists() else ("", "")
        if not self.pinned.exists():
            return client_context(certificate=certificate, key=key)
        context = client_context(ca=str(self.pinned), certificate=certificate, key=key)
        # The server's certificate is trusted itself, as it is: it needs no issuer, and names no host that we know.
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        return context

    def generate(self) -> None:
        """Makes the client's certificate and key unless they are there; for other processes, too, at the same time.

        Raises:
            DiscoveryError: one of the two is there without the other, or they cannot be written.
        """
        with self._writing():
            if self.certificate.exists() and self.key.exists():
                return
            if self.certificate.exists() or self.key.exists():
                raise DiscoveryError(f"{self.certificate} and {self.key}: one of them is missing")
            certificate, key = _client_pair()
            _write(self.key, key)
            _write(self.certificate, certificate)

    def pin(self, certificate: str) -> None:
        """Keeps a server's certificate (PEM), unless one is there. Raises DiscoveryError when that cannot be."""
        with self._writing():
            if not self.pinned.exists():
                self.pinned.parent.mkdir(mode=0o700, exist_ok=True)
                _write(self.pinned, certificate.encode())

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """Alone among all processes that do so."""
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self.folder, os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)
        except OSError as error:
            raise DiscoveryError(f"cannot write {error.filename or self.folder}: {error.strerror}") from error


async def shown_certificate(endpoint: Endpoint) -> str:
    """The certificate (PEM) that a server shows, whoever issued it. Raises OSError."""
    context = await asyncio.to_thread(client_context, verify=False)
    _, writer = await asyncio.open_connection(endpoint.host, endpoint.port, ssl=context)
    try:
        shown: bytes = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    finally:
        writer.transport.abort()
    return ssl.DER_cert_to_PEM_cert(shown)


def _client_pair() -> tuple[bytes, bytes]:
    """A new self-signed certificate and its key, in PEM."""
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "pygobetween"),
            x509.NameAttribute(NameOID.COMMON_NAME, socket.gethostname()[:64] or "pygobetween"),
        ]
    )
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # the server's clock may be behind
        .not_valid_after(now + VALID)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(key, hashes.SHA384())
    )
    text = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), text


def _write(path: Path, content: bytes) -> None:
    """The whole file or none of it, readable by nobody else."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    part.rename(path)
