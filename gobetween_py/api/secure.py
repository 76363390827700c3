"""TLS of the API: who it is, who may connect, and certificates that are renewed while it runs."""

from __future__ import annotations

from gobetween_py.config.models import ApiTls
from gobetween_py.config.tls import Tls
from gobetween_py.tls.contexts import TlsError, server_context
from gobetween_py.tls.renewal import Renewal
from gobetween_py.web import CertificateError


class Secure:
    """`[api.tls]`, loaded.

    Attributes:
        context: of all connections; new ones get what was loaded last.
        renewal: follows the files while it runs.

    Raises:
        CertificateError: from the constructor.
    """

    def __init__(self, config: ApiTls) -> None:
        ca = config.client_ca_path
        self._settings = Tls(
            cert_path=config.cert_path,
            key_path=config.key_path,
            min_version="tls1.2",
            client_auth="require" if ca else "none",
            client_ca_path=ca,
        )
        try:
            self.context = server_context(self._settings)
        except TlsError as error:
            raise CertificateError(f"api.tls.{'.'.join(map(str, error.key))}: {error}") from error
        self.renewal = Renewal("api.tls", filter(None, (config.cert_path, config.key_path, ca)), self._renew)

    def _renew(self) -> None:
        """Raises TlsError: what is in use stays in use."""
        server_context(self._settings)  # a key that is not the certificate's would spoil the context in use
        self.context.load_cert_chain(self._settings.cert_path, self._settings.key_path)
        if self._settings.client_ca_path:  # authorities that were there before are trusted further
            self.context.load_verify_locations(self._settings.client_ca_path)
