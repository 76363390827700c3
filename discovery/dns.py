"""`dns`: the addresses of a name, each with the same port, asked again when their TTL is over."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Literal

from discovery.contract import Answer, Discovery, Options
from discovery.dnsclient.names import DnsName
from discovery.dnsclient.reply import Type
from discovery.dnsclient.resolver import Resolver
from discovery.entry import make_spec
from discovery.fields import HostPort, IpVersion, Port, Text
from discovery.slices import sliced

SHORTEST, LONGEST = 1.0, 300.0
"""Seconds until the name is asked for again, whatever its TTL: at TTL 0 not without a pause, and at TTLs of days, or of
a name that is not there yet, now and then."""

FAMILIES = {None: (Type.A, Type.AAAA), "IPv4": (Type.A,), "IPv6": (Type.AAAA,)}


class DnsOptions(Options):
    """Which name and port, and whom to ask."""

    kind: Literal["dns"] = "dns"
    dns_name: DnsName
    """Name whose A and AAAA records are looked up."""
    dns_port: Port
    """Port of every backend."""
    dns_address_type: IpVersion | None = None
    """IPv4 = A records only, IPv6 = AAAA only; None = both."""
    dns_sni: Text = ""
    """sni of every backend."""
    dns_lookup_server: HostPort | None = None
    """DNS server as host:port; without it the system's resolvers are asked."""
    dns_protocol: Literal["udp", "tcp"] = "udp"
    """udp goes on over TCP where a reply is truncated."""


class Dns(Discovery):
    """A backend for each address.

    No records, or no such name (NXDOMAIN), is an empty answer; any other error of the server is a failure.
    """

    Options = DnsOptions

    def __init__(self, options: DnsOptions) -> None:
        super().__init__(options)
        self._name, self._port, self._sni = options.dns_name, options.dns_port, options.dns_sni
        self._families = FAMILIES[options.dns_address_type]
        self._resolver = Resolver(options.dns_lookup_server, tcp=options.dns_protocol == "tcp")
        self.source = options.dns_lookup_server or "the system's resolvers"
        self._lifetime = LONGEST
        self._answered = asyncio.Event()

    async def fetch(self) -> Answer:
        """The addresses of now. One family that fails is a failure: the other one alone would be half of the pool."""
        await self._resolver.refresh()
        results = await asyncio.gather(
            *(self._resolver.lookup(self._name, family) for family in self._families), return_exceptions=True
        )
        answers = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            answers.append(result)
        if not any(answer.exists for answer in answers):
            self.skipped.add(f"{self._name}: there is no such name (NXDOMAIN)")
        self._lifetime = lifetime([answer.ttl for answer in answers])
        self._answered.set()
        hosts = sorted(str(record.data) for answer in answers for record in answer.records)
        return [make_spec(host, self._port, sni=self._sni) async for host in sliced(hosts)]

    async def watch(self) -> AsyncIterator[None]:
        """Says "fetch now" when the TTL of the latest answer is over; then waits for the next answer."""
        while True:
            await self._answered.wait()
            self._answered.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._lifetime):
                    await self._answered.wait()
                continue
            yield None

    async def close(self) -> None:
        """Closes the connections to the name servers."""
        await self._resolver.close()


def lifetime(ttls: list[int | None]) -> float:
    """Seconds that an answer of records with these TTLs is good for, SHORTEST to LONGEST."""
    least = min((ttl for ttl in ttls if ttl is not None), default=0)
    return min(max(float(least), SHORTEST), LONGEST)
