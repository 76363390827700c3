"""From a server's config to what its connections go through beside connect and relay."""

from __future__ import annotations

from gobetween_py.config import Server
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.staged import Stages


def stages_of(config: Server) -> Stages | None:
    """None for a server that needs none of it, whose connections then know nothing of it."""
    sent, received = config.proxy_protocol, config.proxy_protocol_in
    if not (sent or received):
        return None
    return Stages(
        trusted=Access(((True, network) for network in received.trusted), default=False, unix=True)
        if received
        else None,
        header_timeout=received.read_timeout if received else 0.0,
        version=sent.version if sent else "",
        tlvs=frozenset(sent.tlvs if sent else ()),
    )
