"""What proves to an authority that a host is ours, for as long as it may ask.

Orders put it there from their threads, the event loop looks it up: single operations on dicts, which need no lock.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from gobetween_py.proxy.termination import ACME_TLS


class Challenges:
    """The proofs of all orders that run.

    Attributes:
        http: of http-01: token -> key authorization.
        tls: of tls-alpn-01: host -> context that shows the proof. Always the same dict.
    """

    def __init__(self) -> None:
        self.http: dict[str, str] = {}
        self.tls: dict[str, ssl.SSLContext] = {}

    @contextmanager
    def over_http(self, token: str, authorization: str) -> Iterator[None]:
        """Answer the token with the key authorization."""
        self.http[token] = authorization
        try:
            yield
        finally:
            self.http.pop(token, None)

    @contextmanager
    def over_tls(self, host: str, proof: str) -> Iterator[None]:
        """Show a certificate to those who ask for the host with ALPN acme-tls/1 and nothing else.

        Args:
            proof: path of the certificate and its key, in PEM; read at once.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(proof)
        context.set_alpn_protocols([ACME_TLS])
        context.num_tickets = 0
        self.tls[host] = context
        try:
            yield
        finally:
            if self.tls.get(host) is context:
                del self.tls[host]
