"""`tls` and `backends_tls`: certificates, versions and ciphers towards clients and towards backends."""

from collections.abc import Iterator
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from discovery.duration import Duration
from discovery.fields import Array, FileName, Flag
from gobetween_py.config.acme import AcmeHost
from gobetween_py.section import RuleError, Section, require_together

Version = Literal["tls1", "tls1.1", "tls1.2", "tls1.3"]
VERSIONS: tuple[Version, ...] = ("tls1", "tls1.1", "tls1.2", "tls1.3")

Protocol = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[!-~]+$")]
"""A name of ALPN (RFC 7301)."""

Cipher = Literal[
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_RSA_WITH_RC4_128_SHA",
    "TLS_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA",
    "TLS_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_RC4_128_SHA",
    "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
]
"""The names of Go's crypto/tls, which are those of the IANA registry."""


class CertificateFiles(Section):
    """A certificate, with the chain up to its authority, and its key; both in PEM."""

    cert_path: Annotated[FileName, Field(min_length=1)]
    key_path: Annotated[FileName, Field(min_length=1)]


class TlsSettings(Section):
    """What both directions have."""

    cert_path: FileName = ""
    key_path: FileName = ""
    min_version: Version | None = None
    max_version: Version | None = None
    ciphers: Array[Cipher] = ()
    """Go's names; none = the library's choice. Without effect on TLS 1.3."""
    alpn: Array[Protocol] = ()
    """Protocols in order of preference, for instance "h2"; none = it is not spoken of."""
    handshake_timeout: Duration = 10.0
    """How long a handshake may take; "0" = for ever."""
    prefer_server_ciphers: Flag = False
    """Accepted for gobetween's sake; has no effect there either."""

    @model_validator(mode="after")
    def _certificate_with_its_key(self) -> Self:
        require_together(self, "cert_path", "key_path")
        return self

    @model_validator(mode="after")
    def _versions_in_order(self) -> Self:
        lowest, highest = self.min_version or VERSIONS[0], self.max_version or VERSIONS[-1]
        if VERSIONS.index(lowest) > VERSIONS.index(highest):
            raise RuleError(f"'{lowest}' is above max_version '{highest}'", "min_version")
        return self


class Tls(TlsSettings):
    """Towards clients: required when the protocol is tls."""

    certificates: Array[CertificateFiles] = ()
    """Further certificates: a client gets the one for the name that it asks for, else the first of all."""
    session_tickets: Flag = False
    """Whether clients get tickets, with which they resume a session."""
    client_auth: Literal["none", "request", "require"] = "none"
    """Whether clients are asked for a certificate, and have to show one. One that is shown has to be valid."""
    client_ca_path: FileName = ""
    """Authorities that may have signed the clients' certificates."""
    acme_hosts: Array[AcmeHost] = ()
    """Host names whose certificates [acme] gets, instead of cert_path and key_path or beside them."""

    @model_validator(mode="after")
    def _some_certificate(self) -> Self:
        if not (self.cert_path or self.key_path or self.certificates or self.acme_hosts):
            raise ValueError("needs cert_path and key_path, certificates, or acme_hosts")
        return self

    @model_validator(mode="after")
    def _clients_have_an_authority(self) -> Self:
        if self.client_auth != "none" and not self.client_ca_path:
            raise RuleError(f"is required with client_auth '{self.client_auth}'", "client_ca_path")
        return self

    def all_certificates(self) -> Iterator[tuple[tuple[str | int, ...], CertificateFiles]]:
        """Every certificate, the first one first, with its place in the section."""
        if self.cert_path:
            yield (), CertificateFiles(cert_path=self.cert_path, key_path=self.key_path)
        for number, files in enumerate(self.certificates):
            yield ("certificates", number), files


class BackendsTls(TlsSettings):
    """Towards backends. cert_path and key_path are a client certificate, where the backends ask for one."""

    session_tickets: Flag = True
    """Whether a backend's last session is resumed."""
    ignore_verify: Flag = False
    """Whether any certificate of a backend will do."""
    root_ca_cert_path: FileName = ""
    """Authorities that may have signed the backends' certificates; "" = those of the system."""
