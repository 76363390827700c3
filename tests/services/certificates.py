"""A certificate authority of the test's own, made by the openssl command."""

import ssl
import subprocess
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tests.services import apt
from tests.services.process import LOOPBACK


@dataclass(frozen=True)
class Certificate:
    """Files in PEM: a certificate and its private key."""

    certificate: Path
    key: Path


class Authority:
    """Issues certificates that are good for servers and clients, for a day; ECDSA P-256.

    Args:
        folder: an existing one for its files.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        options = ["-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign"]
        self._root = self._request("ca", "-x509", "-days", "1", *options, subject="tests CA")

    @property
    def ca(self) -> Path:
        """The authority's own certificate."""
        return self._root.certificate

    def issue(self, name: str, *hosts: str) -> Certificate:
        """A certificate for `name` (a DNS name, or a client's name) and more host names; and for 127.0.0.1 and ::1."""
        names = ",".join([*(f"DNS:{host}" for host in (name, *hosts)), f"IP:{LOOPBACK}", "IP:::1"])
        options: list[str | Path] = ["-CA", self._root.certificate, "-CAkey", self._root.key, "-days", "1"]
        options += ["-addext", f"subjectAltName={names}", "-addext", "extendedKeyUsage=serverAuth,clientAuth"]
        return self._request(name, "-x509", *options, "-addext", "basicConstraints=critical,CA:FALSE", subject=name)

    def context(self, client: Certificate | None = None) -> ssl.SSLContext:
        """For a client that trusts this authority and shows `client`."""
        context = ssl.create_default_context(cafile=self.ca)
        if client:
            context.load_cert_chain(client.certificate, client.key)
        return context

    def _request(self, name: str, *options: str | Path, subject: str) -> Certificate:
        made = Certificate(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        key: list[str | Path] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", made.key]
        command: list[str | Path] = [apt.command("openssl", "openssl"), "req", *options, *key]
        subprocess.run([*command, "-subj", f"/CN={subject}", "-out", made.certificate], check=True, capture_output=True)
        return made


class Certified:
    """For a server with certificates of its own; they lie in its `folder`."""

    folder: Path

    @cached_property
    def authority(self) -> Authority:
        """Issuer of the server's certificate, and of those that its clients must show."""
        return Authority(self.folder)

    @cached_property
    def own(self) -> Certificate:
        """What the server shows; for "localhost" and the loopback addresses."""
        return self.authority.issue("localhost")

    @cached_property
    def client(self) -> Certificate:
        """What a client may show."""
        return self.authority.issue("client")
