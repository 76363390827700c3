"""dns against NSD, with traffic through the balancer."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from discovery.dnsclient.reply import Type
from discovery.dnsclient.resolver import Resolver
from tests.discovery.dnsclient.responder import Answer, Query, responding
from tests.integration.conftest import Serve
from tests.integration.discovery.traffic import Identity, Traffic
from tests.services.nsd import Nsd

ZONE = "example.test"


@pytest.fixture
async def backends() -> AsyncIterator[dict[str, Identity]]:
    """One on each of three addresses, all on the same port."""
    identities = {host: Identity(host, host) for host in ("127.0.0.1", "127.0.0.2", "::1")}
    port = identities["127.0.0.1"].port
    async with AsyncExitStack() as stack:
        for identity in identities.values():
            identity.port = port
            await stack.enter_async_context(identity)
        yield identities


def options(nsd: Nsd, backends: dict[str, Identity], name: str = f"web.{ZONE}", **more: str) -> str:
    keys = {"kind": "dns", "dns_lookup_server": nsd.host, "dns_name": name, **more}
    lines = [f'{key} = "{value}"' for key, value in keys.items()]
    return "\n".join([*lines, f"dns_port = {backends['127.0.0.1'].port}"])


async def write(nsd: Nsd, *hosts: str) -> None:
    """TTL 1: the next look-up comes a second later."""
    records = [f"web {'AAAA' if ':' in host else 'A'} {host}" for host in hosts]
    await asyncio.to_thread(nsd.write_zone, ZONE, ["alias CNAME web", *records])


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_addresses_come_and_go_by_their_ttl(nsd: Nsd, backends: dict[str, Identity], protocol: str) -> None:
    """No interval is set, so what changes is seen because a TTL was over. The name is an alias."""
    await write(nsd, "127.0.0.1")
    async with Traffic(options(nsd, backends, f"alias.{ZONE}", dns_protocol=protocol)) as traffic:
        await traffic.served_by("127.0.0.1")
        async with traffic.without_failure():
            await write(nsd, "127.0.0.1", "127.0.0.2", "::1")
            await traffic.served_by("127.0.0.1", "127.0.0.2", "::1")
            held = await traffic.hold("127.0.0.1")
            await write(nsd, "127.0.0.2", "::1")
            await traffic.served_by("127.0.0.2", "::1")
            await held.ping()
            held.close()
        await asyncio.to_thread(nsd.write_zone, ZONE, ["other A 127.0.0.1"])
        await traffic.refused()
        await traffic.logged(f"alias.{ZONE}: there is no such name (NXDOMAIN)")
        await write(nsd, "127.0.0.2")
        await traffic.served_by("127.0.0.2")


async def test_one_family_only(nsd: Nsd, backends: dict[str, Identity]) -> None:
    await write(nsd, "127.0.0.1", "::1")
    async with Traffic(options(nsd, backends, dns_address_type="IPv6")) as traffic:
        await traffic.served_by("::1")


async def test_an_error_keeps_the_backends(nsd: Nsd, backends: dict[str, Identity]) -> None:
    await write(nsd, "127.0.0.1")
    async with Traffic(options(nsd, backends)) as traffic:
        await traffic.served_by("127.0.0.1")
        async with traffic.without_failure():
            await asyncio.to_thread(nsd.write_broken_zone, ZONE)
            await traffic.logged(f"dns discovery failed: {nsd.host} answers SERVFAIL to A web.{ZONE}.")
            await write(nsd, "127.0.0.2")
            await traffic.served_by("127.0.0.2")


async def test_a_killed_server_changes_nothing_until_it_is_back(nsd: Nsd, backends: dict[str, Identity]) -> None:
    await write(nsd, "127.0.0.1")
    async with Traffic(options(nsd, backends)) as traffic:
        await traffic.served_by("127.0.0.1")
        async with traffic.without_failure():
            await asyncio.to_thread(nsd.kill)
            await traffic.logged(f"dns discovery failed: {nsd.host} has no answer to A web.{ZONE}.: [Errno 111]")
            await asyncio.to_thread(nsd.start)
            await write(nsd, "127.0.0.2")
            await traffic.served_by("127.0.0.2")


async def test_a_killed_server_empties_the_pool_where_the_policy_says_so(
    nsd: Nsd, backends: dict[str, Identity]
) -> None:
    await write(nsd, "127.0.0.1")
    async with Traffic(options(nsd, backends, failpolicy="setempty")) as traffic:
        await traffic.served_by("127.0.0.1")
        await asyncio.to_thread(nsd.kill)
        await traffic.refused()
        await asyncio.to_thread(nsd.start)
        await traffic.served_by("127.0.0.1")


async def test_a_server_slower_than_the_timeout_is_a_failure(nsd: Nsd, backends: dict[str, Identity]) -> None:
    """Stopped, it accepts queries and answers none."""
    await write(nsd, "127.0.0.1")
    async with Traffic(options(nsd, backends, timeout="300ms")) as traffic:
        await traffic.served_by("127.0.0.1")
        async with traffic.without_failure():
            os.killpg(nsd.pid, signal.SIGSTOP)
            try:
                await traffic.logged(f"dns discovery failed: no answer from {nsd.host} within 300ms")
            finally:
                os.killpg(nsd.pid, signal.SIGCONT)
            await traffic.logged("answers again: 1 backends")
            await traffic.served_by("127.0.0.1")


async def test_a_server_gone_mad_does_not_disturb_the_traffic(backends: dict[str, Identity]) -> None:
    """Random bytes instead of replies, replies to other questions, an alias of itself; then replies again."""
    name, port = f"web.{ZONE}.", backends["127.0.0.1"].port

    def sane(query: Query) -> bytes:
        return query.reply(f"{name} 1 A 127.0.0.1") if query.type == "A" else query.reply()

    def mad(query: Query) -> list[bytes]:
        noise = [os.urandom(size) for size in (0, 3, 12, 500)] + [sane(query)[:12] + os.urandom(100)]
        return [*noise, query.reply("other.test. 1 A 127.0.0.2")[:-1]]

    def circular(query: Query) -> bytes:
        return query.reply(f"{name} 1 CNAME {name}")

    keys = {"kind": "dns", "dns_name": name, "dns_port": port, "timeout": "300ms"}
    async with responding(sane) as server:
        keys["dns_lookup_server"] = server.address
        discovery = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())
        async with Traffic(discovery) as traffic:
            await traffic.served_by("127.0.0.1")
            async with traffic.without_failure():
                answers: list[Answer] = [mad, circular]
                for times, answer in enumerate(answers, 1):
                    server.answer = answer
                    await traffic.told_times(times, "dns discovery failed")
                    server.answer = sane
                    await traffic.told_times(times, "answers again: 1 backends")
                await traffic.served_by("127.0.0.1")


async def test_the_systems_resolvers_are_those_of_resolv_conf(serve: Serve, tmp_path: Path) -> None:
    """The first of them is not there; a name without its last dot is searched for."""
    nsd = Nsd()
    nsd.port = 53
    serve(nsd).write_zone(ZONE, ["web A 127.0.0.9"])
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver 127.0.0.99\nnameserver 127.0.0.1\nsearch {ZONE}\n")
    resolver = Resolver(None, resolv_conf=str(file))
    await resolver.refresh()
    assert [record.data for record in (await resolver.lookup("web", Type.A)).records] == ["127.0.0.9"]
    await resolver.close()
