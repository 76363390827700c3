"""TLS towards clients: what their connections begin with."""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

ACME_TLS = "acme-tls/1"
"""The protocol that an ACME authority asks for, and nothing beside it, to see a proof (RFC 8737, 3)."""


@dataclass(slots=True)
class Termination:
    """TLS towards clients.

    Args:
        context: of new connections; may be replaced at any time.
        timeout: how long a handshake may take; seconds, 0 = no limit.
        proofs: contexts for ACME authorities, by host; may change at any time.
    """

    context: ssl.SSLContext
    timeout: float
    proofs: Mapping[str, ssl.SSLContext] = field(default_factory=dict)
