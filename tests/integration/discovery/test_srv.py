"""srv against NSD, with traffic through the balancer."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from discovery.srv import Srv, SrvOptions
from tests.discovery.dnsclient.responder import Query, responding
from tests.integration.conftest import Serve
from tests.integration.discovery.traffic import Identity, Traffic
from tests.services.nsd import Nsd

ZONE = "example.test"
NAME = f"_web._tcp.{ZONE}."


@pytest.fixture
async def backends() -> AsyncIterator[dict[str, Identity]]:
    """a and b on IPv4, six on IPv6."""
    async with AsyncExitStack() as stack:
        hosts = {"a": "127.0.0.1", "b": "127.0.0.1", "six": "::1"}
        yield {name: await stack.enter_async_context(Identity(name, host)) for name, host in hosts.items()}


def options(server: str, **more: str) -> str:
    keys = {"kind": "srv", "srv_lookup_server": server, "srv_lookup_pattern": NAME, "interval": "200ms", **more}
    return "\n".join(f'{key} = "{value}"' for key, value in keys.items())


def service(*backends: Identity) -> list[str]:
    """A record for each backend's port, on the target of its address."""
    targets = {"127.0.0.1": "four", "::1": "six"}
    return [f"_web._tcp SRV 1 1 {backend.port} {targets[backend.host]}" for backend in backends] + [
        "four CNAME loopback",
        "loopback A 127.0.0.1",
        "six AAAA ::1",
    ]


async def write(nsd: Nsd, *backends: Identity) -> None:
    await asyncio.to_thread(nsd.write_zone, ZONE, service(*backends))


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
@pytest.mark.parametrize("minimal", [False, True])
async def test_backends_come_and_go_under_traffic(
    serve: Serve, backends: dict[str, Identity], protocol: str, minimal: bool
) -> None:
    """With and without addresses sent along; a connection survives that its backend leaves the set."""
    nsd = serve(Nsd(minimal_responses=minimal))
    a, b, six = backends.values()
    await write(nsd, a)
    async with Traffic(options(nsd.host, srv_dns_protocol=protocol)) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await write(nsd, a, b, six)
            await traffic.served_by("a", "b", "six")
            held = await traffic.hold("a")
            await write(nsd, b, six)
            await traffic.served_by("b", "six")
            await held.ping()
            held.close()


async def test_priority_weight_and_sni_are_the_records(nsd: Nsd) -> None:
    nsd.write_zone(
        ZONE, ["_web._tcp SRV 1 20 80 Web1", "_web._tcp SRV 2 0 81 web2", "web1 A 127.0.0.1", "web2 A 127.0.0.2"]
    )
    kind = Srv(SrvOptions(srv_lookup_server=nsd.host, srv_lookup_pattern=NAME))
    found = [(spec.host, spec.port, spec.priority, spec.weight, spec.sni.lower()) for spec in await kind.fetch()]
    assert found == [("127.0.0.1", 80, 1, 20, f"web1.{ZONE}"), ("127.0.0.2", 81, 2, 0, f"web2.{ZONE}")]


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_hundreds_of_records(nsd: Nsd, protocol: str) -> None:
    """Too many for UDP: the reply is truncated, and asked for again over TCP."""
    async with Identity("everywhere", "0.0.0.0") as backend:
        hosts = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(600)]
        records = [f"_web._tcp SRV 1 1 {backend.port} host{number}" for number in range(600)]
        records += [f"host{number} A {host}" for number, host in enumerate(hosts)]
        await asyncio.to_thread(nsd.write_zone, ZONE, records)
        async with Traffic(options(nsd.host, srv_dns_protocol=protocol)) as traffic:
            await traffic.logged("srv discovery: 600 backends")
            async with traffic.without_failure():
                await traffic.served_by("everywhere")


async def test_no_records_are_no_backends_but_an_error_keeps_them(nsd: Nsd, backends: dict[str, Identity]) -> None:
    """NXDOMAIN and the target "." empty the pool; SERVFAIL (a zone without data) and REFUSED (no zone) keep it."""
    a = backends["a"]
    await write(nsd, a)
    async with Traffic(options(nsd.host)) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await asyncio.to_thread(nsd.write_broken_zone, ZONE)
            await traffic.logged(f"{nsd.host} answers SERVFAIL to SRV {NAME}; the last 1 backends are kept")
            await asyncio.to_thread(nsd.delete_zone, ZONE)
            await write(nsd, a)
            await traffic.logged("answers again: 1 backends")
        await asyncio.to_thread(nsd.write_zone, ZONE, ["other A 127.0.0.1"])
        await traffic.refused()
        await traffic.logged(f"{NAME}: there is no such name (NXDOMAIN)")
        await write(nsd, a)
        await traffic.served_by("a")
        await asyncio.to_thread(nsd.write_zone, ZONE, ["_web._tcp SRV 0 0 0 ."])
        await traffic.refused()
        await traffic.logged("decidedly not available")


async def test_a_killed_server_changes_nothing_until_it_is_back(nsd: Nsd, backends: dict[str, Identity]) -> None:
    a, b, _ = backends.values()
    await write(nsd, a)
    async with Traffic(options(nsd.host)) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await asyncio.to_thread(nsd.kill)
            await traffic.logged(f"srv discovery failed: {nsd.host} has no answer to SRV {NAME}: [Errno 111]")
            await asyncio.to_thread(nsd.start)
            await write(nsd, a, b)
            await traffic.served_by("a", "b")
        assert traffic.told("discovery failed") == 1, "whatever the number of tries"


async def test_a_killed_server_empties_the_pool_where_the_policy_says_so(
    nsd: Nsd, backends: dict[str, Identity]
) -> None:
    await write(nsd, backends["a"])
    async with Traffic(options(nsd.host, failpolicy="setempty")) as traffic:
        await traffic.served_by("a")
        await asyncio.to_thread(nsd.kill)
        await traffic.refused()
        await asyncio.to_thread(nsd.start)
        await traffic.served_by("a")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_a_server_slower_than_the_timeout_is_a_failure(
    nsd: Nsd, backends: dict[str, Identity], protocol: str
) -> None:
    """Stopped, it accepts queries and answers none."""
    await write(nsd, backends["a"])
    async with Traffic(options(nsd.host, timeout="300ms", srv_dns_protocol=protocol)) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            os.killpg(nsd.pid, signal.SIGSTOP)
            try:
                await traffic.logged(f"srv discovery failed: no answer from {nsd.host} within 300ms")
            finally:
                os.killpg(nsd.pid, signal.SIGCONT)
            await traffic.logged("answers again")
            await traffic.served_by("a")


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_a_server_gone_mad_does_not_disturb_the_traffic(backends: dict[str, Identity], protocol: str) -> None:
    """Random bytes instead of replies, then replies again."""
    a = backends["a"]

    def sane(query: Query) -> bytes:
        return query.reply(f"{NAME} 1 SRV 1 1 {a.port} a.test.", additional=["a.test. 1 A 127.0.0.1"])

    def mad(query: Query) -> list[bytes]:
        head = sane(query)[:12]
        return [os.urandom(size) for size in (0, 3, 12, 500)] + [head + os.urandom(size) for size in (0, 40, 1000)]

    async with (
        responding(sane) as server,
        Traffic(options(server.address, timeout="300ms", srv_dns_protocol=protocol)) as traffic,
    ):
        await traffic.served_by("a")
        async with traffic.without_failure():
            server.answer = mad
            await traffic.logged("srv discovery failed")
            server.answer = sane
            await traffic.logged("answers again")
            await traffic.served_by("a")
