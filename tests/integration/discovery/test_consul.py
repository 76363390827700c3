"""consul, through the running balancer: traffic flows while instances, agents and leaders come and go."""

import json
import signal
from asyncio import to_thread
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import pytest

from tests.discovery.consul.answers import answering, entry, host_of
from tests.discovery.web import serving
from tests.integration.conftest import Serve
from tests.integration.discovery.consul_instances import register_many
from tests.integration.discovery.scenarios import server_goes_mad
from tests.integration.discovery.traffic import Identity, Traffic
from tests.services.consul import Agent, Consul, ConsulCluster


def _discovery(hosts: str | Sequence[str], **more: str | bool | Sequence[str]) -> str:
    """TOML of the discovery: of the service web, unless `more` says another."""
    options = {"kind": "consul", "consul_host": hosts, "consul_service_name": "web", **more}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in options.items())


async def _register(agent: Agent, backend: Identity, name: str = "web", **more: Any) -> str:
    return await to_thread(partial(agent.register, name, backend.port, **more))


async def _backends(stack: AsyncExitStack, *names: str) -> list[Identity]:
    return [await stack.enter_async_context(Identity(name)) for name in names]


async def test_instances_come_and_go_under_traffic(consul: Consul) -> None:
    """No connection fails as long as its backend is there; each change is pushed, without an interval."""
    async with AsyncExitStack() as stack:
        a, b, c = await _backends(stack, "a", "b", "c")
        await _register(consul, a)
        traffic = await stack.enter_async_context(Traffic(_discovery(consul.host)))
        await traffic.served_by("a")
        held = await traffic.hold("a")
        async with traffic.without_failure():
            await _register(consul, b)
            await traffic.served_by("a", "b")
            third = await _register(consul, c)
            await traffic.served_by("a", "b", "c")
            await to_thread(consul.deregister, third)
            await traffic.served_by("a", "b")
            await to_thread(consul.deregister, f"web-{a.port}")
            await traffic.served_by("b")
            await held.ping()
        held.close()


async def test_states_weights_and_tags_choose_the_backends(consul: Consul) -> None:
    async with AsyncExitStack() as stack:
        a, b, c = await _backends(stack, "a", "b", "c")
        first = await _register(consul, a, status="passing", Tags=["blue"])
        second = await _register(consul, b, status="passing", Weights={"Passing": 1, "Warning": 0}, Tags=["blue"])
        await _register(consul, c, status="passing", Tags=["green"])
        discovery = _discovery(consul.host, consul_service_tag="blue")
        passing_only = _discovery(consul.host, consul_service_passing_only=True)
        traffic = await stack.enter_async_context(Traffic(discovery))
        passing = await stack.enter_async_context(Traffic(passing_only))
        await traffic.served_by("a", "b")
        await passing.served_by("a", "b", "c")
        async with traffic.without_failure(), passing.without_failure():
            await to_thread(consul.set_status, second, "warning")
            await traffic.served_by("a")
            await passing.served_by("a", "c")
            await to_thread(consul.set_status, second, "passing")
            await to_thread(consul.set_status, first, "critical")
            await traffic.served_by("a", "b")
            await passing.served_by("b", "c")


async def test_several_services_are_one_pool(consul: Consul) -> None:
    async with AsyncExitStack() as stack:
        a, b = await _backends(stack, "a", "b")
        await _register(consul, a, "web")
        traffic = await stack.enter_async_context(Traffic(_discovery(consul.host, consul_service_name=["web", "api"])))
        await traffic.served_by("a")
        async with traffic.without_failure():
            await _register(consul, b, "api")
            await traffic.served_by("a", "b")


async def test_without_its_agent_the_last_backends_are_kept(consul: Consul) -> None:
    async with AsyncExitStack() as stack:
        a, b = await _backends(stack, "a", "b")
        await _register(consul, a)
        traffic = await stack.enter_async_context(Traffic(_discovery(consul.host, interval="1s")))
        await traffic.served_by("a")
        async with traffic.without_failure():
            await to_thread(consul.kill)
            await traffic.logged("Connection refused; the last 1 backends are kept")
            await traffic.served_by("a")
        await to_thread(consul.start)  # a dev agent knows nothing any more
        await traffic.refused()
        await _register(consul, b)
        await traffic.served_by("b")
        assert traffic.told("consul discovery failed") == 1, "once per change of state, not once per try"


async def test_or_refused_where_the_policy_says_so(consul: Consul) -> None:
    async with AsyncExitStack() as stack:
        (a,) = await _backends(stack, "a")
        await _register(consul, a)
        traffic = await stack.enter_async_context(Traffic(_discovery(consul.host, failpolicy="setempty")))
        await traffic.served_by("a")
        await to_thread(consul.kill)
        await traffic.refused()
        await to_thread(consul.start)
        await _register(consul, a)
        await traffic.served_by("a")


async def test_an_agent_that_does_not_answer_in_time_is_a_failure(consul: Consul) -> None:
    async with AsyncExitStack() as stack:
        a, b = await _backends(stack, "a", "b")
        await _register(consul, a)
        discovery = _discovery(consul.host, interval="200ms", timeout="500ms")
        traffic = await stack.enter_async_context(Traffic(discovery))
        await traffic.served_by("a")
        async with traffic.without_failure():
            consul.signal(signal.SIGSTOP)
            await traffic.logged("no answer within")
            await traffic.served_by("a")
            consul.signal(signal.SIGCONT)
            await _register(consul, b)
            await traffic.served_by("a", "b")


async def test_a_lost_token_looks_like_an_empty_service_and_is_a_failure(serve: Serve) -> None:
    consul = serve(Consul(acl=True))
    reader = await to_thread(
        consul.create_token, 'service "web" { policy = "read" } node_prefix "" { policy = "read" }'
    )
    async with AsyncExitStack() as stack:
        (a,) = await _backends(stack, "a")
        await _register(consul, a)
        file = consul.folder / "token"
        file.write_text(reader)
        discovery = _discovery(consul.host, interval="200ms", consul_acl_token_file=str(file))
        traffic = await stack.enter_async_context(Traffic(discovery))
        await traffic.served_by("a")
        async with traffic.without_failure():
            file.write_text("")
            await traffic.logged("no ACL token is given, which leaves no service:read; the last 1 backends are kept")
            file.write_text("00000000-aaaa-bbbb-cccc-000000000001")
            await traffic.logged("HTTP status 403: ACL not found")
            await traffic.served_by("a")
            file.write_text(reader)
            await traffic.logged("answers again: 1 backends")
        assert reader not in traffic.log


async def test_a_server_gone_mad_costs_nothing_else() -> None:
    async with Identity("a") as a, serving() as server:
        good = answering([entry(a.port)])
        discovery = _discovery(host_of(server), interval="100ms")
        await server_goes_mad(discovery, lambda hostile: setattr(server, "answer", hostile or good))


async def test_over_https_with_a_client_certificate_and_a_token(serve: Serve) -> None:
    consul = serve(Consul(acl=True, tls=True))
    async with AsyncExitStack() as stack:
        a, b = await _backends(stack, "a", "b")
        await _register(consul, a)
        discovery = _discovery(
            consul.host,
            consul_acl_token=consul.token or "",
            consul_tls_enabled=True,
            consul_tls_cert_path=str(consul.certificate),
            consul_tls_key_path=str(consul.key),
            consul_tls_cacert_path=str(consul.ca),
        )
        traffic = await stack.enter_async_context(Traffic(discovery))
        await traffic.served_by("a")
        async with traffic.without_failure():
            await _register(consul, b)
            await traffic.served_by("a", "b")


@pytest.mark.parametrize("stale", [False, True], ids=["default reads", "stale reads"])
async def test_a_cluster_that_loses_its_leader_is_asked_on(consul_cluster: ConsulCluster, stale: bool) -> None:
    """The leader is asked first; when it is killed the others are, and a change after the election arrives."""
    leader = await to_thread(consul_cluster.wait_for_leader, 3)
    follower = next(server for server in consul_cluster.servers if server is not leader)
    hosts = sorted(consul_cluster.hosts, key=leader.host.__ne__)
    async with AsyncExitStack() as stack:
        a, b = await _backends(stack, "a", "b")
        await _register(follower, a)
        discovery = _discovery(hosts, interval="500ms", consul_allow_stale=stale)
        traffic = await stack.enter_async_context(Traffic(discovery))
        await traffic.served_by("a")
        async with traffic.without_failure():
            await to_thread(consul_cluster.kill_leader)
            await to_thread(consul_cluster.wait_for_leader, 2)
            await _register(follower, b)
            await traffic.served_by("a", "b")
        if stale:
            assert "discovery failed" not in traffic.log, "any server answers stale reads, with or without a leader"


async def test_two_thousand_instances_of_one_service(consul: Consul) -> None:
    """All on one port of addresses of the loopback network, so that one listener is behind all of them."""
    async with AsyncExitStack() as stack:
        many = await stack.enter_async_context(Identity("many", host="0.0.0.0"))
        (one,) = await _backends(stack, "one")
        addresses = [f"127.1.{number // 200}.{number % 200 + 1}" for number in range(2000)]
        await to_thread(register_many, consul, "web", many.port, addresses)
        traffic = await stack.enter_async_context(Traffic(_discovery(consul.host)))
        await traffic.logged("consul discovery: 2000 backends")
        await traffic.served_by("many")
        async with traffic.without_failure():
            await _register(consul, one, Weights={"Passing": 2000, "Warning": 1})
            await traffic.served_by("many", "one")
            await to_thread(consul.deregister, f"web-{one.port}")
            await traffic.served_by("many")
