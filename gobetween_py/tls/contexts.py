"""A section `tls` or `backends_tls` -> SSLContext.

Whatever the library's defaults are, a stream that ends without close_notify is an error here (OP_IGNORE_UNEXPECTED_EOF
off), nobody renegotiates, and a private key's pass phrase is never asked for at the terminal.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Mapping

from gobetween_py.config.tls import VERSIONS, BackendsTls, CertificateFiles, Tls, TlsSettings
from gobetween_py.tls.certificates import Certificate, Choice, read_certificate
from gobetween_py.tls.ciphers import OPENSSL

_VERSIONS = dict(
    zip(
        VERSIONS,
        (ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3),
        strict=True,
    )
)
_CLIENT_AUTH = {"none": ssl.CERT_NONE, "request": ssl.CERT_OPTIONAL, "require": ssl.CERT_REQUIRED}


class TlsError(ValueError):
    """A section cannot be used. The message names the file and the remedy.

    Attributes:
        key: the path of the key to look at, seen from the section.
        value: what stands there.
    """

    def __init__(self, reason: str, *key: str | int, value: str = "") -> None:
        super().__init__(f"{value}: {reason}" if value else reason)
        self.reason = reason
        self.key = key
        self.value = value


def server_context(
    settings: Tls, issued: Mapping[str, ssl.SSLContext] | None = None, *, tell_names: bool = False
) -> ssl.SSLContext:
    """For connections of clients; with several certificates it chooses by the name that a client asks for.

    Args:
        issued: the acme_hosts that have a certificate, and its `issued_context`.
        tell_names: whether connections are told the name that their client asks for, also where there is no choice.

    Raises:
        TlsError: a file, or the ciphers together with the versions.
    """
    by_names: dict[frozenset[str], ssl.SSLContext] = {}
    for key, files in settings.all_certificates():
        names = certificate_of(files, key).names
        context = by_names.get(names)
        if context is None:  # certificates of the same names are alternatives, say of an RSA and of an ECDSA key
            context = by_names[names] = _server_context(settings)
        _load(context, files, key)
    for host, context in (issued or {}).items():
        by_names.setdefault(frozenset((host,)), context)
    door = next(iter(by_names.values()), None) or _server_context(settings)
    awaited = frozenset(settings.acme_hosts) - (issued or {}).keys()
    if len(by_names) > 1 or awaited or tell_names:
        Choice(door, by_names, awaited).install()
    return door


def issued_context(settings: Tls, file: str) -> ssl.SSLContext:
    """For a certificate that [acme] has got.

    Args:
        file: PEM, with the key.

    Raises:
        TlsError: as above.
    """
    context = _server_context(settings)
    _load(context, CertificateFiles(cert_path=file, key_path=file), ("acme_hosts",))
    return context


def client_context(settings: BackendsTls) -> ssl.SSLContext:
    """For connections to backends. It verifies the chain and the name, unless the section says not to.

    Raises:
        TlsError: as above.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    _set_up(context, settings)
    if settings.ignore_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif settings.root_ca_cert_path:  # beside it nothing is trusted, whatever SSL_CERT_FILE says
        _load_authorities(context, settings.root_ca_cert_path, "root_ca_cert_path")
    else:
        context.load_default_certs()
    if settings.cert_path:
        _load(context, CertificateFiles(cert_path=settings.cert_path, key_path=settings.key_path), ())
    return context


def certificate_of(files: CertificateFiles, key: Iterable[str | int]) -> Certificate:
    """The first certificate of the file. Raises TlsError: it cannot be read."""
    try:
        with open(files.cert_path, "rb"):  # or OpenSSL would not say why it cannot
            return read_certificate(files.cert_path)
    except OSError as error:  # ssl.SSLError too
        reason = "is no certificate in PEM: convert it with `openssl x509 -in FILE -inform DER -out FILE.pem`"
        raise TlsError(_file_reason(error, reason), *key, "cert_path", value=files.cert_path) from error


def _server_context(settings: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_up(context, settings)
    if not settings.session_tickets:
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    else:
        context.num_tickets = 1  # as Go; the second one of OpenSSL's would be 25 µs and a packet more per handshake
    context.verify_mode = _CLIENT_AUTH[settings.client_auth]
    if settings.client_ca_path and settings.client_auth != "none":
        _load_authorities(context, settings.client_ca_path, "client_ca_path")
    return context


def _set_up(context: ssl.SSLContext, settings: TlsSettings) -> None:
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    if settings.alpn:
        context.set_alpn_protocols(list(settings.alpn))
    old = [name for name in settings.ciphers if name in OPENSSL]
    lowest, highest = settings.min_version, settings.max_version
    if settings.ciphers and not old:
        if highest not in (None, "tls1.3"):
            raise TlsError(f"has only ciphers of TLS 1.3, which max_version {highest!r} excludes", "ciphers")
        lowest = "tls1.3"
    if lowest is None and highest is not None and VERSIONS.index(highest) < VERSIONS.index("tls1.2"):
        lowest = highest
    if lowest is not None:
        context.minimum_version = _VERSIONS[lowest]
    if highest is not None:
        context.maximum_version = _VERSIONS[highest]
    # TLS 1.0 and 1.1 sign with SHA-1, which OpenSSL 3 does at no other level.
    level = "@SECLEVEL=0" if lowest in ("tls1", "tls1.1") else ""
    if old:
        _set_ciphers(context, old, level)
    elif level:
        context.set_ciphers(f"DEFAULT:{level}")


def _set_ciphers(context: ssl.SSLContext, names: Iterable[str], level: str) -> None:
    for name in names:
        try:
            context.set_ciphers(OPENSSL[name])
        except ssl.SSLError as error:
            version = ssl.OPENSSL_VERSION
            raise TlsError(f"{name!r} is not in this machine's {version}: leave it out", "ciphers") from error
    context.set_ciphers(":".join([*(OPENSSL[name] for name in names), *([level] if level else [])]))


def _load(context: ssl.SSLContext, files: CertificateFiles, key: Iterable[str | int]) -> None:
    try:
        context.load_cert_chain(files.cert_path, files.key_path, password=_no_password)
    except OSError as error:
        reason = {
            "KEY_VALUES_MISMATCH": f"is not the key of {files.cert_path}: give the one that the certificate was made "
            "for; the server's own certificate has to come first in its file",
            "EE_KEY_TOO_SMALL": "is too small for OpenSSL's security level: make one of 2048 bits or more",
            "BAD_DECRYPT": "is encrypted: store it without a pass phrase (`openssl pkey -in FILE -out FILE.plain`)",
            "CA_MD_TOO_WEAK": "its certificate is signed with a digest that is too weak: have it issued anew",
        }.get(getattr(error, "reason", None) or "", "is no private key in PEM, or an encrypted one")
        raise TlsError(_file_reason(error, reason), *key, "key_path", value=files.key_path) from error


def _load_authorities(context: ssl.SSLContext, path: str, key: str) -> None:
    try:
        context.load_verify_locations(path)
    except OSError as error:
        raise TlsError(_file_reason(error, "holds no certificate in PEM"), key, value=path) from error


def _file_reason(error: OSError, otherwise: str) -> str:
    """Why a file cannot be used; it may be gone since it was looked at."""
    if isinstance(error, ssl.SSLError) or not error.strerror:
        return otherwise
    return f"cannot be read: {error.strerror}"


def _no_password() -> str:
    return ""
