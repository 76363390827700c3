"""`srv`: the SRV records of a name (RFC 2782), asked of a given DNS server or of the system's."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable
from typing import Literal

from balancer.backend import BackendSpec
from discovery.contract import Answer, Discovery, DiscoveryError, Options
from discovery.dnsclient.names import DnsName
from discovery.dnsclient.reply import Record, Service, Type
from discovery.dnsclient.resolver import AT_ONCE, Resolver
from discovery.entry import make_spec
from discovery.fields import HostPort
from discovery.slices import sliced

FAMILIES = Type.A, Type.AAAA
LOOKUP_SHARE = 0.8
"""Share of the fetch's timeout after which a target whose address did not come is given up, not the whole answer."""

Addresses = dict[tuple[str, Type], list[str]]
"""(target in lower case, A or AAAA) -> addresses."""


class SrvOptions(Options):
    """Which name, and whom to ask."""

    kind: Literal["srv"] = "srv"
    srv_lookup_server: HostPort | None = None
    """DNS server as host:port; without it the system's resolvers are asked."""
    srv_lookup_pattern: DnsName
    """Name whose SRV records are looked up, for example "_http._tcp.example.com." or "web.service.consul."."""
    srv_dns_protocol: Literal["udp", "tcp"] = "udp"
    """udp goes on over TCP where a reply is truncated."""


class Srv(Discovery):
    """A backend for each address of each target, with the record's port, priority and weight, and the target as sni.

    No records, or no such name (NXDOMAIN), is an empty answer; any other error of the server is a failure.
    """

    Options = SrvOptions

    def __init__(self, options: SrvOptions) -> None:
        super().__init__(options)
        self._name = options.srv_lookup_pattern
        self._resolver = Resolver(options.srv_lookup_server, tcp=options.srv_dns_protocol == "tcp")
        self.source = options.srv_lookup_server or "the system's resolvers"
        timeout = self.default_timeout if options.timeout is None else options.timeout
        self._patience = timeout * LOOKUP_SHARE if timeout else None
        self._last: Addresses = {}

    async def fetch(self) -> Answer:
        """The SRV records, then the addresses of those targets that the server did not send along."""
        deadline = asyncio.get_running_loop().time() + self._patience if self._patience else None
        await self._resolver.refresh()
        found = await self._resolver.lookup(self._name, Type.SRV)
        if not found.exists:
            self.skipped.add(f"{self._name}: there is no such name (NXDOMAIN)")
        services = self._services(found.records)
        targets = dict.fromkeys(service.target.lower() for service in services)
        addresses = additional_addresses(targets, found.additional)
        await self._look_up(missing(targets, addresses), addresses, deadline)
        self._last = addresses
        return await self._specs(services, addresses)

    async def close(self) -> None:
        """Closes the connections to the name servers."""
        await self._resolver.close()

    def _services(self, records: Iterable[Record]) -> list[Service]:
        """In an order of its own, since servers turn theirs with each reply."""
        services = sorted({record.data for record in records if isinstance(record.data, Service)})
        if any(service.target == "." for service in services):
            self.skipped.add(f"{self._name}: target '.': the service is decidedly not available here (RFC 2782)")
        return [service for service in services if service.target != "."]

    async def _look_up(self, wanted: list[tuple[str, Type]], addresses: Addresses, deadline: float | None) -> None:
        """Fills in the addresses. Where a look-up fails the last known ones count; when all fail, the fetch does."""
        sent, failures = bool(addresses), list[DiscoveryError]()

        async def look_up(target: str, family: Type) -> None:
            try:
                async with asyncio.timeout_at(deadline):
                    found = await self._resolver.lookup(target, family)
                addresses[target, family] = [str(record.data) for record in found.records]
            except (DiscoveryError, TimeoutError) as error:
                reason = str(error) or "no answer in time"
                failures.append(DiscoveryError(f"{family.name} {target}: {reason}"))
                if kept := self._last.get((target, family), []):
                    addresses[target, family] = kept
                    reason += "; its last known addresses are kept"
                self.skipped.add(f"{family.name} {target}: {reason}")

        async def work() -> None:
            for target, family in waiting:
                await look_up(target, family)

        # A task for each look-up would have thousands of them begin in one turn of the event loop.
        waiting = iter(wanted)
        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())
        if failures and len(failures) == len(wanted) and not sent:
            raise failures[0]

    async def _specs(self, services: list[Service], addresses: Addresses) -> list[BackendSpec]:
        specs: list[BackendSpec] = []
        async for service in sliced(services):
            target = service.target.lower()
            hosts = [host for family in FAMILIES for host in addresses.get((target, family), [])]
            try:
                if not hosts:
                    raise ValueError("the target has no address")
                specs += (
                    make_spec(
                        host,
                        service.port,
                        weight=service.weight,
                        priority=service.priority,
                        sni=service.target.removesuffix("."),
                    )
                    for host in sorted(hosts)
                )
            except ValueError as error:
                self.skipped.add(f"{service.target}:{service.port}: {error}")
        return specs


def additional_addresses(targets: Iterable[str], additional: Iterable[Record]) -> Addresses:
    """The addresses of the targets that the server sent along with the SRV records."""
    addresses: Addresses = defaultdict(list)
    wanted = set(targets)
    for record in additional:
        if record.type in FAMILIES and record.name in wanted:
            addresses[record.name, record.type].append(str(record.data))
    return dict(addresses)


def missing(targets: Iterable[str], addresses: Addresses) -> list[tuple[str, Type]]:
    """What has to be looked up although the server sent addresses along: both families of a target that has none, and a
    family that other targets have, since they are sent only as far as the reply has room (RFC 2181 section 9).
    """
    sent = {family for _, family in addresses}
    return [
        (target, family)
        for target in targets
        for family in FAMILIES
        if (target, family) not in addresses
        and (family in sent or not any((target, other) in addresses for other in FAMILIES))
    ]
