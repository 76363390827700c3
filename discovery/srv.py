"""`srv`: the SRV records of a name (RFC 2782), asked of a given DNS server."""

from typing import Literal

from discovery.contract import Options
from discovery.fields import HostPort, Required


class SrvOptions(Options):
    """Which name, and whom to ask."""

    kind: Literal["srv"] = "srv"
    srv_lookup_server: HostPort
    """DNS server as host:port."""
    srv_lookup_pattern: Required
    """Name whose SRV records are looked up, for example "web.service.consul."."""
    srv_dns_protocol: Literal["udp", "tcp"] = "udp"
