"""Allow and deny rules by client address: the first rule that matches decides, else the default."""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address

Network = IPv4Network | IPv6Network

CACHED = 65_536
"""Verdicts kept; a full cache is emptied, so that a scan over all addresses costs bounded memory."""


class Access:
    """Rules as (allowed, network) pairs, tried in order.

    An IPv4 client on a dual-stack listener (`::ffff:192.0.2.1`) matches IPv4 rules, and a v4-mapped rule matches an
    IPv4 client. A UNIX-socket client has no address: `unix` decides, and without it the default.
    """

    def __init__(
        self, rules: Iterable[tuple[bool, Network]], *, default: bool = True, unix: bool | None = None
    ) -> None:
        self._rules = [(allowed, _unmapped(network)) for allowed, network in rules]
        self._default = default
        self._unix = default if unix is None else unix
        self._verdicts: dict[str, bool] = {}

    def allows(self, host: str) -> bool:
        """Tell whether the client with this address (as accept() gave it) may connect."""
        verdict = self._verdicts.get(host)
        if verdict is None:
            if len(self._verdicts) >= CACHED:
                self._verdicts.clear()
            verdict = self._verdicts[host] = self._decide(host)
        return verdict

    def _decide(self, host: str) -> bool:
        if not host:
            return self._unix
        address = ip_address(host)
        if isinstance(address, IPv6Address):
            # A link-local client comes with its zone ("fe80::1%eth0"); rules name addresses, not links.
            address = address.ipv4_mapped or IPv6Address(int(address))
        return next((allowed for allowed, network in self._rules if address in network), self._default)


def _unmapped(network: Network) -> Network:
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        mapped = network.network_address.ipv4_mapped
        if mapped is not None:
            return IPv4Network((mapped, network.prefixlen - 96))
    return network
