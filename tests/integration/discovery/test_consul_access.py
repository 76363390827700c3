"""consul, asked by the kind and the client themselves: rights, certificates, hosts, pushes, keys."""

import asyncio
from asyncio import to_thread
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import pytest

from balancer.backend import BackendSpec
from discovery.consul.access import Access
from discovery.consul.client import Consul as Client
from discovery.consul.client import RefusedError
from discovery.consul.key_value import read_value, values
from discovery.consul.kind import ConsulDiscovery
from discovery.consul.options import ConsulOptions
from discovery.contract import Answer, DiscoveryError
from tests.integration.conftest import Serve
from tests.integration.discovery.consul_instances import register_many
from tests.services.certificates import Authority
from tests.services.consul import Agent, Consul, ConsulCluster
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

READ_WEB = 'service "web" { policy = "read" }'
READ_NODES = 'node_prefix "" { policy = "read" }'

Item = TypeVar("Item")


@asynccontextmanager
async def asking(agent: Agent | None = None, **options: Any) -> AsyncIterator[ConsulDiscovery]:
    """The kind, for the service web of that agent unless the options say another."""
    host = {"consul_host": agent.host} if agent else {}
    given = {"kind": "consul", "consul_service_name": "web", **host, **options}
    discovery = ConsulDiscovery(ConsulOptions.model_validate(given))
    try:
        yield discovery
    finally:
        await discovery.close()


async def fetched(agent: Agent | None = None, **options: Any) -> Answer:
    async with asking(agent, **options) as discovery:
        return await discovery.fetch()


async def until(stream: AsyncIterator[Item], wanted: Callable[[Item], bool]) -> Item:
    """The first item of the stream that is wanted."""
    async with asyncio.timeout(20):
        async for item in stream:
            if wanted(item):
                return item
    raise AssertionError("it ended")


@pytest.fixture
def guarded(serve: Serve) -> Consul:
    """An agent that denies by default, with one instance of web."""
    consul = serve(Consul(acl=True))
    consul.register("web", 80)
    return consul


@pytest.fixture
def private(serve: Serve) -> Consul:
    """An agent that talks to clients with a certificate only, with one instance of web."""
    consul = serve(Consul(tls=True))
    consul.register("web", 80)
    return consul


def certificates(consul: Consul) -> dict[str, Any]:
    return {
        "consul_tls_enabled": True,
        "consul_tls_cert_path": str(consul.certificate),
        "consul_tls_key_path": str(consul.key),
        "consul_tls_cacert_path": str(consul.ca),
    }


async def test_an_instance_says_its_weight_priority_limit_and_name(consul: Consul) -> None:
    consul.register(
        "web",
        80,
        Weights={"Passing": 7, "Warning": 2},
        Meta={"priority": "2", "sni": "a.b"},
        Tags=["max_connections=9 x"],
    )
    assert await fetched(consul) == [BackendSpec(LOOPBACK, 80, 7, 2, 9, "a.b")]


async def test_an_external_service_without_an_address_has_that_of_its_node(consul: Consul) -> None:
    consul.register_external("outside", "fd00::9", [{"Service": "web", "ID": "web", "Port": 5432}])
    assert await fetched(consul) == [BackendSpec("fd00::9", 5432)]


async def test_the_own_datacenter_by_name_is_the_same_and_an_unknown_one_a_failure(consul: Consul) -> None:
    consul.register("web", 80)
    assert await fetched(consul, consul_datacenter="dc1") == await fetched(consul)
    with pytest.raises(DiscoveryError, match="HTTP status 500: No path to datacenter"):
        await fetched(consul, consul_service_datacenter="mars")


async def test_a_service_without_instances_is_an_empty_pool(consul: Consul) -> None:
    assert await fetched(consul, consul_service_name="nothing") == []


async def test_a_token_that_consul_does_not_know_is_refused_and_not_shown(guarded: Consul) -> None:
    with pytest.raises(RefusedError, match="HTTP status 403: ACL not found") as raised:
        await fetched(guarded, consul_acl_token="00000000-aaaa-bbbb-cccc-000000000001")
    assert "aaaa" not in str(raised.value)


async def test_an_empty_list_for_want_of_a_token_is_a_failure(guarded: Consul) -> None:
    with pytest.raises(
        DiscoveryError, match="'web' is empty because no ACL token is given, which leaves no service:read"
    ):
        await fetched(guarded)


@pytest.mark.parametrize(
    ("rules", "right"),
    [(READ_NODES, "service:read"), ('key "x" { policy = "read" }', "service:read"), (READ_WEB, "node:read")],
)
async def test_an_empty_list_for_want_of_a_right_names_it(guarded: Consul, rules: str, right: str) -> None:
    token = guarded.create_token(rules)
    for more in {}, {"consul_service_passing_only": True, "consul_service_tag": "blue"}, {"consul_datacenter": "dc1"}:
        with pytest.raises(DiscoveryError, match=f"the ACL token lacks {right}$") as raised:
            await fetched(guarded, consul_acl_token=token, **more)
        assert token not in str(raised.value)


@pytest.mark.parametrize("nodes", [READ_NODES, 'node "n1" { policy = "read" }'])
async def test_with_the_rights_an_empty_list_is_believed(guarded: Consul, nodes: str) -> None:
    """Whether all instances are left out by their tag or state, or there are none any more."""
    token = guarded.create_token(READ_WEB + nodes)
    assert len(await fetched(guarded, consul_acl_token=token)) == 1
    assert await fetched(guarded, consul_acl_token=token, consul_service_tag="blue") == []
    guarded.deregister("web-80")
    assert await fetched(guarded, consul_acl_token=token) == []


async def test_the_token_of_the_environment_is_used(guarded: Consul, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONSUL_HTTP_TOKEN", guarded.create_token(READ_WEB + READ_NODES))
    assert len(await fetched(guarded)) == 1


async def test_a_watch_whose_token_is_lost_breaks(guarded: Consul) -> None:
    """The polling after it finds the same, and the policy decides."""
    file = guarded.folder / "token"
    file.write_text(guarded.create_token(READ_WEB + READ_NODES))
    async with asking(guarded, consul_acl_token_file=str(file)) as discovery:
        pushed = discovery.watch()
        assert len(await anext(pushed)) == 1
        file.write_text(guarded.create_token('key "x" { policy = "read" }'))
        guarded.register("web", 81)  # ends the query that went out with the old token
        with pytest.raises(DiscoveryError, match="lacks service:read"):
            await until(pushed, lambda _: False)


async def test_https_with_the_client_s_certificate(private: Consul) -> None:
    assert await fetched(private, **certificates(private)) == [BackendSpec(LOOPBACK, 80)]


async def test_https_without_the_client_s_certificate_is_a_failure(private: Consul) -> None:
    options = {"consul_tls_enabled": True, "consul_tls_cacert_path": str(private.ca)}
    with pytest.raises(DiscoveryError, match=r"(?i)certificate"):
        await fetched(private, **options)


async def test_the_ca_of_the_config_wins_over_the_environment(
    private: Consul, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = str(Authority(tmp_path).ca)
    for name in "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "CONSUL_CACERT":
        monkeypatch.setenv(name, other)
    assert len(await fetched(private, **certificates(private))) == 1
    monkeypatch.setenv("SSL_CERT_FILE", str(private.ca))
    with pytest.raises(DiscoveryError, match=r"(?i)certificate verify failed"):
        await fetched(private, **{**certificates(private), "consul_tls_cacert_path": other})


async def test_certificates_that_were_renewed_in_their_files_are_used_after_a_failure(
    private: Consul, tmp_path: Path
) -> None:
    ca = tmp_path / "used.pem"
    ca.write_bytes(Authority(tmp_path).ca.read_bytes())
    async with asking(private, **{**certificates(private), "consul_tls_cacert_path": str(ca)}) as discovery:
        with pytest.raises(DiscoveryError, match=r"(?i)certificate verify failed"):
            await discovery.fetch()
        ca.write_bytes(private.ca.read_bytes())
        assert len(await discovery.fetch()) == 1


async def test_https_to_a_port_of_http_is_a_failure(consul: Consul) -> None:
    with pytest.raises(DiscoveryError, match=consul.host):
        await fetched(consul, consul_tls_enabled=True)


async def test_a_follower_without_a_leader_answers_stale_reads_only(consul_cluster: ConsulCluster) -> None:
    """Its 500 is no answer, so that another host is tried; with both others gone there is none."""
    leader = consul_cluster.wait_for_leader(peers=3)
    left, other = (server for server in consul_cluster.servers if server is not leader)
    left.register("web", 80)
    hosts = [f"{LOOPBACK}:{free_port()}", left.host]
    assert len(await fetched(consul_host=hosts)) == 1
    while not left.api.get("/v1/health/service/web?stale"):  # the leader knows it first
        await asyncio.sleep(0.02)
    other.kill()
    leader.kill()
    with pytest.raises(DiscoveryError, match=f"Connection refused; {left.host}: "):
        await fetched(consul_host=hosts, timeout="20s")
    assert len(await fetched(consul_host=hosts, consul_allow_stale=True)) == 1


async def test_changes_are_pushed(consul: Consul) -> None:
    async with asking(consul) as discovery:
        pushed = discovery.watch()
        assert await anext(pushed) == []
        instance = consul.register("web", 80)
        assert await anext(pushed) == [BackendSpec(LOOPBACK, 80)]
        consul.deregister(instance)
        assert await anext(pushed) == []


async def test_of_two_thousand_instances_each_is_a_backend(consul: Consul) -> None:
    addresses = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(2000)]
    await to_thread(register_many, consul, "web", 80, addresses)
    assert sorted(spec.host for spec in await fetched(consul)) == sorted(addresses)


async def test_a_key_is_followed(consul: Consul) -> None:
    client = Client(Access((consul.host,)))
    async with aclosing(values(client, "a/key")) as seen:
        assert await anext(seen) is None
        for content in b"one", b"", bytes(range(256)):
            consul.api.put("/v1/kv/a/key", content)
            assert await until(seen, lambda value: value is not None) == content
            assert await read_value(client, "a/key") == content
        consul.api.request("DELETE", "/v1/kv/a/key")
        assert await until(seen, lambda value: value is None) is None
    await client.close()
