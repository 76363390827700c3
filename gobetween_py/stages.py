"""From a server's config to what its connections go through beside connect and relay."""

from __future__ import annotations

import logging
from functools import lru_cache

from balancer import Pool
from balancer.sni import Matcher, ServerNames
from discovery.pattern import Pattern
from gobetween_py.config import Server
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.staged import Stages
from gobetween_py.tls.security import Security

log = logging.getLogger("pygobetween.server")


def stages_of(config: Server, pool: Pool, tls: Security) -> Stages | None:
    """None for a server that needs none of it, whose connections then know nothing of it."""
    sent, received, sni = config.proxy_protocol, config.proxy_protocol_in, config.sni
    if not (sent or received or sni or introduces(pool) or tls.termination or tls.origination):
        return None
    networks = received.trusted if received else ()
    patterns = sni is not None and sni.hostname_matching_strategy == "regexp"
    return Stages(
        trusted=Access(((True, network) for network in networks), default=False, unix=True) if received else None,
        header_timeout=received.read_timeout if received else 0.0,
        route=ServerNames(pool, sni.unexpected_hostname_strategy, compiled if patterns else None).pick if sni else None,
        hello_timeout=sni.read_timeout if sni else 0.0,
        version=sent.version if sent else "",
        tlvs=frozenset(sent.tlvs if sent else ()),
        termination=tls.termination,
        origination=tls.origination,
    )


def introduces(pool: Pool) -> bool:
    """Whether some backend asks for a PROXY header, whatever its server says."""
    return any(backend.spec.proxy_protocol in ("1", "2") for backend in pool.backends)


@lru_cache(4096)
def compiled(text: str) -> Matcher:
    """A backend's sni as a pattern that a name is searched for: RE2, in time linear in the name. Raises ValueError."""
    try:
        pattern = Pattern(text)
    except ValueError as error:
        log.warning("sni %r %s: no client gets backends by it", text, error)
        raise
    return lambda name: pattern.search(name) is not None
