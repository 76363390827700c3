"""Who gets the next connection.

The control plane feeds a `Pool` (`update` from discovery, `set_live` from health checks, `set_resolved` from name
resolution, `tick` once a second); the data plane asks it with `acquire` and `release`, once per connection. In
between stands one `Algorithm` per priority tier, one file each, found by name in `registry`. `sni` picks among those
backends that a client's server name means. What happened is counted in `Counters`, a row per backend. Nothing here does
I/O, reads a clock or knows of an event loop.
"""

from balancer.algorithm import Algorithm
from balancer.backend import Backend, BackendSpec
from balancer.counters import ACTIVE, COLUMNS, REFUSED, RX, TOTAL, TX, Counters
from balancer.pool import Pool
from balancer.registry import UnknownAlgorithmError, load, names
from balancer.roster import Change

__all__ = [
    "ACTIVE",
    "COLUMNS",
    "REFUSED",
    "RX",
    "TOTAL",
    "TX",
    "Algorithm",
    "Backend",
    "BackendSpec",
    "Change",
    "Counters",
    "Pool",
    "UnknownAlgorithmError",
    "load",
    "names",
]
