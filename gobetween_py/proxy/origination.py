"""TLS towards backends: what is asked for, and the sessions that are resumed."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from balancer import Backend
from gobetween_py.proxy.sockets import AF_UNIX, CSocket
from gobetween_py.proxy.tls import Tls, wrap

if TYPE_CHECKING:
    from gobetween_py.proxy.secured import SecuredConnection

_PLAIN_NAME = re.compile(r"[\w-]+(\.[\w-]+)*\.?")

SESSIONS = 4096
"""Backends whose last session is kept. When there are more, all are forgotten: that costs them a full handshake."""


@dataclass(slots=True)
class Origination:
    """TLS towards backends.

    Args:
        context: of new connections; may be replaced at any time.
        timeout: how long a handshake may take; seconds, 0 = no limit.
        resume: whether a backend is offered its last session again.
    """

    context: ssl.SSLContext
    timeout: float
    resume: bool = True
    sessions: dict[tuple[Any, str], tuple[ssl.SSLContext, Any]] = field(default_factory=dict)

    def wrap(self, sock: CSocket, backend: Backend, owner: SecuredConnection) -> Tls:
        """TLS on a socket that is connected to a backend. Raises ValueError: there is no name to ask for."""
        name = name_of(backend)
        context = self.context
        if not name and context.check_hostname:
            raise ValueError("its certificate cannot be verified without a name: it needs an sni")
        made_by, session = self.sessions.get((backend.key, name), (None, None))
        if made_by is not context:
            session = None
        return wrap(context, sock, owner, server_name=name or None, session=session)

    def keep(self, tls: Tls, backend: Backend) -> None:
        """Remember the session of a connection, if it can be resumed."""
        session = tls.session
        if session is not None and (session.has_ticket or tls.version() != "TLSv1.3"):
            if len(self.sessions) >= SESSIONS:
                self.sessions.clear()
            self.sessions[backend.key, name_of(backend)] = tls.context, session

    def forget(self, backend: Backend) -> None:
        """Its handshake failed: the next one is a full one."""
        self.sessions.pop((backend.key, name_of(backend)), None)


def name_of(backend: Backend) -> str:
    """What a backend is asked for, and its certificate verified by; "" = it has no name.

    The first of its `sni` that is a plain name (others are wildcards and patterns, for choosing by the client's), else
    its host.
    """
    for name in backend.sni.split(","):
        if _PLAIN_NAME.fullmatch(name.strip()):
            return name.strip()
    return "" if backend.family == AF_UNIX else backend.host
