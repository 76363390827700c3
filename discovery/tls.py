"""TLS contexts of the clients that ask sources over https."""

import ssl

from discovery.contract import DiscoveryError


def client_context(*, ca: str = "", certificate: str = "", key: str = "", verify: bool = True) -> ssl.SSLContext:
    """A client's context that verifies the server's chain and host name.

    To be called in a thread: reading the system's CAs takes 20 ms.

    Args:
        ca: path of a PEM file; then nothing but it is trusted, whatever SSL_CERT_FILE says. "" = the system's.
        certificate, key: paths of the PEM files the client shows; "" = none. The key may lie in the certificate's file.
        verify: False accepts any server.

    Raises:
        DiscoveryError: naming the file that cannot be read or is no PEM file of that kind.
    """
    try:
        context = ssl.create_default_context(cafile=ca or None)
    except (OSError, ssl.SSLError) as error:
        raise DiscoveryError(f"cannot load the CA certificates of {ca}: {_reason(error)}") from error
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if certificate:
        try:
            context.load_cert_chain(certificate, key or None, password=_no_password)
        except (OSError, ssl.SSLError) as error:
            files = f"{certificate} with the key {key}" if key else certificate
            raise DiscoveryError(f"cannot load the certificate {files}: {_reason(error)}") from error
    return context


def _no_password() -> str:
    """Instead of OpenSSL's question at the terminal, which would hang a service."""
    return ""


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or getattr(error, "reason", None) or str(error)
