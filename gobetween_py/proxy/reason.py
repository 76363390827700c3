"""Why a connection ended."""

from enum import Enum


class Reason(Enum):
    """As the access log, the metrics and the counters of refusals name it."""

    CLIENT = "client"  # both sides ended in order, the client first
    BACKEND = "backend"  # both sides ended in order, the backend first
    CLIENT_RESET = "client_reset"  # the client reset it, or vanished
    BACKEND_RESET = "backend_reset"
    CLIENT_IDLE = "client_idle"
    BACKEND_IDLE = "backend_idle"
    ACCESS = "access"  # the access rules deny this client
    LIMIT = "limit"  # max_connections
    UNTRUSTED = "untrusted_proxy"  # PROXY headers are expected here, and not from this address
    BAD_HEADER = "bad_proxy_header"
    NO_HEADER = "no_proxy_header"  # not whole within its time
    TLS = "tls_handshake_failed"  # the client's
    NO_TLS = "no_tls_handshake"  # not through within its time
    NO_HELLO = "no_client_hello"  # begun, but not whole within its time
    SNI = "sni_rejected"  # the client asks for a name that no backend has
    NO_BACKEND = "no_backend"  # none was pickable
    CONNECT = "connect_failed"  # no backend that was tried answered
    RESOURCES = "out_of_resources"  # no fd for the backend's socket
    PROOF = "acme_challenge"  # an ACME authority has seen our proof
    BACKEND_DOWN = "backend_down"  # its health checks say so
    DRAIN = "drain"  # drained, and the time given for it is over
    KILLED = "killed"  # somebody closed it by hand
    SHUTDOWN = "shutdown"
    DEFECT = "defect"

    def __str__(self) -> str:
        return self.value.replace("_", " ")


REFUSALS = (
    Reason.ACCESS,
    Reason.LIMIT,
    Reason.UNTRUSTED,
    Reason.BAD_HEADER,
    Reason.NO_HEADER,
    Reason.TLS,
    Reason.NO_TLS,
    Reason.NO_HELLO,
    Reason.SNI,
    Reason.NO_BACKEND,
    Reason.CONNECT,
    Reason.RESOURCES,
)
"""Causes for which a client gets nothing."""

# What nearly every connection ends with: looking a member up in its class takes 0.1 µs in Python 3.11.
CLIENT, BACKEND = Reason.CLIENT, Reason.BACKEND
