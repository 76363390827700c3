"""`tls` and `backends_tls`: certificates, versions and ciphers towards clients and towards backends."""

from typing import Literal, Self

from pydantic import model_validator

from discovery.fields import Array, FileName, Flag, Required
from gobetween_py.section import RuleError, Section, require_together

Version = Literal["tls1", "tls1.1", "tls1.2", "tls1.3"]
VERSIONS: tuple[Version, ...] = ("tls1", "tls1.1", "tls1.2", "tls1.3")

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


class _TlsSettings(Section):
    """What both directions have."""

    cert_path: FileName = ""
    key_path: FileName = ""
    min_version: Version | None = None
    max_version: Version | None = None
    ciphers: Array[Cipher] = ()
    """Go's names; none = the library's choice. Without effect on TLS 1.3."""
    session_tickets: Flag = False
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


class Tls(_TlsSettings):
    """Towards clients: required when the protocol is tls."""

    acme_hosts: Array[Required] = ()
    """Host names whose certificates [acme] gets, instead of cert_path and key_path."""

    @model_validator(mode="after")
    def _some_certificate(self) -> Self:
        if not (self.cert_path or self.key_path or self.acme_hosts):
            raise ValueError("needs cert_path and key_path, or acme_hosts")
        return self


class BackendsTls(_TlsSettings):
    """Towards backends. cert_path and key_path are a client certificate, where the backends ask for one."""

    ignore_verify: Flag = False
    """Whether any certificate of a backend will do."""
    root_ca_cert_path: FileName = ""
    """Authorities that may have signed the backends' certificates; "" = those of the system."""
