"""TLS of one server, towards its clients and its backends: made from its config, and renewed with its files."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable

from gobetween_py.acme.issuance import Issuance, Status
from gobetween_py.acme.store import Stored
from gobetween_py.config import Server
from gobetween_py.config.errors import Path, path_text
from gobetween_py.proxy.origination import Origination
from gobetween_py.proxy.termination import Termination
from gobetween_py.tls.certificates import Certificate
from gobetween_py.tls.contexts import TlsError, certificate_of, client_context, issued_context, server_context
from gobetween_py.tls.renewal import Renewal
from gobetween_py.web import CertificateError

log = logging.getLogger("pygobetween.tls")


class Security:
    """What the stages of a server's connections need for TLS.

    Args:
        issuance: where the certificates of acme_hosts come from.

    Attributes:
        termination: towards clients; None = they speak no TLS.
        origination: towards backends; likewise.
        certificates: those that clients are shown.

    Raises:
        CertificateError: from the constructor; a certificate, a key or the ciphers cannot be used.
    """

    def __init__(self, name: str, config: Server, issuance: Issuance | None = None) -> None:
        self._config = config
        self._issuance = issuance if config.protocol == "tls" and config.tls and config.tls.acme_hosts else None
        self._issued: dict[str, tuple[Stored, ssl.SSLContext]] = {}
        self.certificates: tuple[Certificate, ...] = ()
        self.termination: Termination | None = None
        self.origination: Origination | None = None
        self._renewals: list[Renewal] = []
        self._where = where = ("servers", name)
        if config.protocol == "tls" and config.tls is not None:
            tls = config.tls
            context = _made((*where, "tls"), self._server_context)
            proofs = self._issuance.challenges.tls if self._issuance else {}
            self.termination = Termination(context, tls.handshake_timeout, proofs)
            files = [file for _, pair in tls.all_certificates() for file in (pair.cert_path, pair.key_path)]
            self._follow((*where, "tls"), self._renew_termination, *files, tls.client_ca_path)
        if config.backends_tls is not None:
            backends = config.backends_tls
            context = _made((*where, "backends_tls"), lambda: client_context(backends))
            self.origination = Origination(context, backends.handshake_timeout, backends.session_tickets)
            files = [backends.cert_path, backends.key_path, backends.root_ca_cert_path]
            self._follow((*where, "backends_tls"), self._renew_origination, *files)

    @property
    def orders(self) -> dict[str, Status]:
        """How it goes with the certificates of acme_hosts, by host."""
        tls, issuance = self._config.tls, self._issuance
        if tls is None or issuance is None:
            return {}
        return {host: issuance.statuses[host] for host in tls.acme_hosts if host in issuance.statuses}

    async def run(self) -> None:
        """Renew the contexts when files change, and with each certificate that is issued, until cancelled.

        Open connections keep what they have.
        """
        work = [renewal.run() for renewal in self._renewals]
        if self._issuance is not None:
            work.append(self._follow_issuance(self._issuance))
        await asyncio.gather(*work)

    async def _follow_issuance(self, issuance: Issuance) -> None:
        with issuance.telling(self._take_issued):
            self._take_issued()  # it may have told in between
            await asyncio.Event().wait()

    def _follow(self, where: Path, renew: Callable[[], None], *files: str) -> None:
        if any(files):
            self._renewals.append(Renewal(path_text(where), filter(None, files), renew))

    def _take_issued(self) -> None:
        """Use the certificates of [acme] that are new."""
        if self.termination is None or {host: stored for host, (stored, _) in self._issued.items()} == self._serving():
            return
        try:
            self.termination.context = self._server_context()
        except TlsError as error:
            log.error("%s.tls: %s; the certificates in use stay", path_text(self._where), error)

    def _renew_termination(self) -> None:
        assert self.termination is not None
        self._issued.clear()  # the clients' authorities are in them too
        self.termination.context = self._server_context()

    def _server_context(self) -> ssl.SSLContext:
        tls = self._config.tls
        assert tls is not None
        for host, stored in self._serving().items():
            if host not in self._issued or self._issued[host][0] != stored:  # making one takes a millisecond or two
                self._issued[host] = stored, issued_context(tls, stored.path)
        issued = {host: context for host, (_, context) in self._issued.items()}
        context = server_context(tls, issued, tell_names=self._config.tells_names)
        in_files = [certificate_of(files, key) for key, files in tls.all_certificates()]
        self.certificates = (*in_files, *(stored.certificate for stored, _ in self._issued.values()))
        return context

    def _serving(self) -> dict[str, Stored]:
        tls = self._config.tls
        return self._issuance.serving(tls.acme_hosts) if tls and self._issuance else {}

    def _renew_origination(self) -> None:
        assert self.origination is not None
        assert self._config.backends_tls is not None
        self.origination.context = client_context(self._config.backends_tls)


def _made(where: Path, make: Callable[[], ssl.SSLContext]) -> ssl.SSLContext:
    try:
        return make()
    except TlsError as error:
        raise CertificateError(f"{path_text((*where, *error.key))}: {error}") from error
