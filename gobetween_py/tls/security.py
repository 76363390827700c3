"""TLS of one server, towards its clients and its backends: made from its config, and renewed with its files."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable

from gobetween_py.config import Server
from gobetween_py.config.errors import Path, path_text
from gobetween_py.proxy.secured import Origination, Termination
from gobetween_py.tls.contexts import TlsError, client_context, server_context
from gobetween_py.tls.renewal import Renewal
from gobetween_py.web import CertificateError


class Security:
    """What the stages of a server's connections need for TLS.

    Attributes:
        termination: towards clients; None = they speak no TLS.
        origination: towards backends; likewise.

    Raises:
        CertificateError: from the constructor; a certificate, a key or the ciphers cannot be used.
    """

    def __init__(self, name: str, config: Server) -> None:
        self._config = config
        self.termination: Termination | None = None
        self.origination: Origination | None = None
        self._renewals: list[Renewal] = []
        where = ("servers", name)
        if config.protocol == "tls" and config.tls is not None:
            tls = config.tls
            context = _made((*where, "tls"), lambda: server_context(tls))
            self.termination = Termination(context, tls.handshake_timeout)
            files = [file for _, pair in tls.all_certificates() for file in (pair.cert_path, pair.key_path)]
            self._follow((*where, "tls"), self._renew_termination, *files, tls.client_ca_path)
        if config.backends_tls is not None:
            backends = config.backends_tls
            context = _made((*where, "backends_tls"), lambda: client_context(backends))
            self.origination = Origination(context, backends.handshake_timeout, backends.session_tickets)
            files = [backends.cert_path, backends.key_path, backends.root_ca_cert_path]
            self._follow((*where, "backends_tls"), self._renew_origination, *files)

    async def run(self) -> None:
        """Renew the contexts when files change, until cancelled. Open connections keep what they have."""
        await asyncio.gather(*(renewal.run() for renewal in self._renewals))

    def _follow(self, where: Path, renew: Callable[[], None], *files: str) -> None:
        if any(files):
            self._renewals.append(Renewal(path_text(where), filter(None, files), renew))

    def _renew_termination(self) -> None:
        assert self.termination is not None
        assert self._config.tls is not None
        self.termination.context = server_context(self._config.tls)

    def _renew_origination(self) -> None:
        assert self.origination is not None
        assert self._config.backends_tls is not None
        self.origination.context = client_context(self._config.backends_tls)


def _made(where: Path, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return make()
    except TlsError as error:
        raise CertificateError(f"{path_text((*where, *error.key))}: {error}") from error
