"""Several certificates on one port: each is for the names in it, the first one for everybody else (RFC 6066, 3)."""

from __future__ import annotations

import _ssl
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from gobetween_py.proxy.secured import SecuredConnection


def names_in(path: str) -> frozenset[str]:
    """The DNS names of a certificate in a PEM file, in lower case; without any, its common name (RFC 6125, 6.4.4).

    Raises:
        OSError: the file is no such certificate, or cannot be read.
    """
    # The standard library decodes a certificate of one's own nowhere else.
    decoded = _ssl._test_decode_cert(path)  # type: ignore[attr-defined]
    names = [str(value) for kind, value in decoded.get("subjectAltName", ()) if kind == "DNS"]
    if not names:
        names = [str(value) for part in decoded["subject"] for kind, value in part if kind == "commonName"]
    return frozenset(name.lower() for name in names)


class Choice:
    """By the name that a client asks for: a certificate for just this name, else for `*.` its domain, else the first.

    Args:
        door: the context that connections begin with; its certificate is the first one.
        by_names: a context for each set of names. Of two for one name, the first counts.
    """

    def __init__(self, door: ssl.SSLContext, by_names: Mapping[frozenset[str], ssl.SSLContext]) -> None:
        self._door = door
        self._contexts: dict[str, ssl.SSLContext] = {}
        for names, context in by_names.items():
            for name in names:
                self._contexts.setdefault(name, context)

    def find(self, name: str | None) -> ssl.SSLContext:
        """The context for a name that a client asks for; None = it does not say."""
        if not name:
            return self._door
        name = name.lower().rstrip(".")
        found = self._contexts.get(name)
        if found is None:
            _, dot, domain = name.partition(".")
            found = self._contexts.get(f"*.{domain}") if dot else None
        return found or self._door

    def install(self) -> None:
        """Have OpenSSL ask for the choice, with the ClientHello of every connection of the door's."""
        # ssl.SSLContext's own setter puts a decoding in between that raises for some names that a client may send.
        _ssl._SSLContext.sni_callback.__set__(self._door, self._choose)  # type: ignore[union-attr]

    def _choose(self, connection: SecuredConnection, name: str | None, _door: object) -> None:
        context = self.find(name)
        if context is not self._door and connection.client_tls is not None:
            connection.client_tls.context = context
