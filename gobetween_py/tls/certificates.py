"""Several certificates on one port: each is for the names in it, the first one for everybody else (RFC 6066, 3)."""

from __future__ import annotations

import _ssl
import ssl
from collections.abc import Mapping, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gobetween_py.proxy.secured import SecuredConnection


@dataclass(frozen=True, slots=True)
class Certificate:
    """What stands in a certificate.

    Attributes:
        names: DNS names in lower case; without any, its common name (RFC 6125, 6.4.4).
        begins, ends: when it is valid; UNIX time.
    """

    names: frozenset[str]
    begins: float
    ends: float


def read_certificate(path: str) -> Certificate:
    """The first certificate in a PEM file.

    Raises:
        OSError: the file is no such certificate, or cannot be read.
    """
    # The standard library decodes a certificate of one's own nowhere else.
    decoded = _ssl._test_decode_cert(path)  # type: ignore[attr-defined]
    names = [str(value) for kind, value in decoded.get("subjectAltName", ()) if kind == "DNS"]
    if not names:
        names = [str(value) for part in decoded["subject"] for kind, value in part if kind == "commonName"]
    begins, ends = (ssl.cert_time_to_seconds(decoded[key]) for key in ("notBefore", "notAfter"))
    return Certificate(frozenset(name.lower() for name in names), begins, ends)


class Choice:
    """By the name that a client asks for: a certificate for just this name, else for `*.` its domain, else the first.

    Args:
        door: the context that connections begin with; its certificate is the first one, if there is one.
        by_names: a context for each set of names. Of two for one name, the first counts.
        awaited: names that will have a certificate of their own, and get nobody else's until then.
    """

    def __init__(
        self, door: ssl.SSLContext, by_names: Mapping[frozenset[str], ssl.SSLContext], awaited: Set[str] = frozenset()
    ) -> None:
        self._door = door
        self._first = door if by_names else None
        self._awaited = awaited
        self._contexts: dict[str, ssl.SSLContext] = {}
        for names, context in by_names.items():
            for name in names:
                self._contexts.setdefault(name, context)

    def find(self, name: str | None) -> ssl.SSLContext | None:
        """The context for a name that a client asks for (None = it does not say); None when there is no certificate."""
        if not name:
            return self._first
        name = name.lower().rstrip(".")
        found = self._contexts.get(name)
        if found is None:
            _, dot, domain = name.partition(".")
            found = self._contexts.get(f"*.{domain}") if dot else None
        if found is None and name not in self._awaited:
            found = self._first
        return found

    def install(self) -> None:
        """Have OpenSSL ask for the choice, with the ClientHello of every connection of the door's."""
        # ssl.SSLContext's own setter puts a decoding in between that raises for some names that a client may send.
        _ssl._SSLContext.sni_callback.__set__(self._door, self._choose)  # type: ignore[union-attr]

    def _choose(self, connection: SecuredConnection, name: str | None, _door: object) -> int | None:
        """Put the context in its place, or tell the alert to send."""
        if name:
            connection.asked_for(name)
        context = self.find(name)
        if context is None:
            return int(ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME)
        if context is not self._door and connection.client_tls is not None:
            connection.client_tls.context = context
        return None
