"""The proxies that are compared: one file each, with the template of its config beside it, and a row in PEERS.

All are configured alike: ten weighted backends, three access rules, timeouts and a connection limit, one thread.
"""

from benchmarks.peers.contract import Peer, Proxy
from benchmarks.peers.direct import DIRECT
from benchmarks.peers.haproxy import HAPROXY
from benchmarks.peers.nginx import NGINX
from benchmarks.peers.pygobetween import INTRODUCING, LOGGING, PYGOBETWEEN
from benchmarks.peers.target import Target, parse_target, targets

PEERS: dict[str, Peer] = {peer.name: peer for peer in (DIRECT, HAPROXY, NGINX, PYGOBETWEEN, LOGGING, INTRODUCING)}

__all__ = ["PEERS", "Peer", "Proxy", "Target", "parse_target", "targets"]
