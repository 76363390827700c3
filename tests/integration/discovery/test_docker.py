"""docker, through the running balancer: a real engine's containers come and go while traffic flows."""

import asyncio
import json
import os
import signal
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from balancer.backend import BackendSpec
from discovery.contract import DiscoveryError
from discovery.docker.kind import Docker as Kind
from discovery.docker.options import DockerOptions
from tests.discovery.docker.test_kind import Engine
from tests.discovery.web import serving
from tests.integration.conftest import Serve
from tests.integration.discovery.scenarios import server_goes_mad
from tests.integration.discovery.traffic import Identity, Traffic, http_body
from tests.services.certificates import Authority
from tests.services.docker import IMAGE, Docker

WEB = {"proxied": "true"}
HEALTH = "--health-cmd=test ! -e /sick", "--health-interval=100ms", "--health-retries=1"


def _discovery(endpoint: str, **more: str | bool) -> str:
    """TOML of the discovery."""
    options = {"kind": "docker", "docker_endpoint": endpoint, "docker_container_private_port": 80, **more}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in options.items())


@asynccontextmanager
async def _kind(endpoint: str, **keys: Any) -> AsyncIterator[Kind]:
    """The kind by itself, without a balancer."""
    discovery = Kind(DockerOptions(docker_endpoint=endpoint, docker_container_private_port=80, **keys))
    try:
        yield discovery
    finally:
        await discovery.close()


async def _fetch(endpoint: str, **keys: Any) -> list[BackendSpec]:
    async with _kind(endpoint, **keys) as discovery:
        return sorted(await discovery.fetch(), key=lambda spec: spec.key)


async def test_containers_come_and_go_under_traffic(dockerd: Docker) -> None:
    """No connection fails as long as its container is there; each change is pushed, without an interval."""
    with dockerd.network():
        dockerd.run("web-a", labels=WEB, publish=["80"])
        dockerd.run("other", publish=["80"])
        discovery = _discovery(dockerd.endpoint, docker_container_label="proxied=true")
        async with Traffic(discovery, ask=http_body()) as traffic:
            await traffic.served_by("web-a")
            async with traffic.without_failure():
                await to_thread(dockerd.run, "web-b", labels=WEB, publish=["127.0.0.1::80"])
                await traffic.served_by("web-a", "web-b")
                await to_thread(dockerd.run, "web-c", *HEALTH, labels=WEB, publish=["80"])
                await traffic.served_by("web-a", "web-b", "web-c")
                await to_thread(dockerd.docker, "exec", "web-c", "touch", "/sick")
                await traffic.served_by("web-a", "web-b")
                await to_thread(dockerd.docker, "exec", "web-c", "rm", "/sick")
                await traffic.served_by("web-a", "web-b", "web-c")
            await to_thread(dockerd.docker, "pause", "web-c")
            await traffic.served_by("web-a", "web-b")
            await to_thread(dockerd.docker, "unpause", "web-c")
            await traffic.served_by("web-a", "web-b", "web-c")
            await to_thread(dockerd.remove, "web-b")
            await traffic.served_by("web-a", "web-c")
            await to_thread(dockerd.remove_all)
            await traffic.refused()
            await to_thread(dockerd.run, "web-d", labels=WEB, publish=["80"])
            await traffic.served_by("web-d")


async def test_containers_that_publish_nothing_are_reached_in_their_network(dockerd: Docker) -> None:
    with dockerd.network():
        dockerd.docker("network", "create", "front")
        dockerd.run("web-a", "--network=front")
        dockerd.run("web-b", *HEALTH, "--network=front")
        dockerd.run("other")
        async with Traffic(_discovery(dockerd.endpoint, docker_container_network="front"), ask=http_body()) as traffic:
            await traffic.served_by("web-a", "web-b")
            async with traffic.without_failure():
                await to_thread(dockerd.docker, "network", "connect", "front", "other")
                await traffic.served_by("web-a", "web-b", "other")
                await to_thread(dockerd.docker, "exec", "web-b", "touch", "/sick")
                await traffic.served_by("web-a", "other")
            await traffic.logged("container other: is not in the network 'front'")


async def test_the_engine_says_who_serves_and_how(dockerd: Docker) -> None:
    """Labels, environment, addresses of both families; paused, restarting and unhealthy containers are left out."""
    labels = {"weight": "5", "priority": "2", "max_connections": "7", "sni": "a.example"}
    dockerd.run("web-a", labels=WEB | labels, publish=["127.0.0.1:8001:80", "[::1]:8001:80"])
    dockerd.run("web-b", labels=WEB, publish=["127.0.0.1:8002:80"], environment={"PUBLIC": "b.example"})
    dockerd.run("web-c", labels={"proxied": "no"}, publish=["127.0.0.1:8003:80", "127.0.0.1:9003:81"])
    dockerd.run("paused", publish=["127.0.0.1:8004:80"])
    dockerd.docker("pause", "paused")
    dockerd.run("sick", *HEALTH, publish=["127.0.0.1:8005:80"])
    dockerd.docker("exec", "sick", "touch", "/sick")
    dockerd.docker(
        "run", "--detach", "--name=failing", "--restart=always", "--publish=127.0.0.1:8006:80", IMAGE, "false"
    )
    while dockerd.inspect("sick")["State"]["Health"]["Status"] != "unhealthy":
        await asyncio.sleep(0.05)
    while dockerd.inspect("failing")["RestartCount"] < 5 or not dockerd.inspect("failing")["State"]["Restarting"]:
        await asyncio.sleep(0.05)
    a = [BackendSpec(host, 8001, 5, 2, 7, "a.example") for host in ("127.0.0.1", "::1")]
    b, c = BackendSpec("127.0.0.1", 8002), BackendSpec("127.0.0.1", 8003)
    assert await _fetch(dockerd.endpoint) == [a[0], b, c, a[1]]
    assert await _fetch(dockerd.endpoint, docker_container_label="proxied") == [a[0], b, c, a[1]]
    assert await _fetch(dockerd.endpoint, docker_container_label="proxied=true") == [a[0], b, a[1]]
    named = await _fetch(dockerd.endpoint, docker_container_host_env_var="PUBLIC")
    assert named == [a[0], c, a[1], BackendSpec("b.example", 8002)]
    network = await _fetch(dockerd.endpoint, docker_container_network="bridge", docker_container_label="proxied=true")
    assert [spec.address for spec in network] == [f"{dockerd.address(name)}:80" for name in ("web-a", "web-b")]


async def test_published_on_all_addresses_is_one_backend_at_the_endpoints_host(dockerd: Docker) -> None:
    dockerd.run("web-a", publish=["80"])
    bindings = dockerd.inspect("web-a")["NetworkSettings"]["Ports"]["80/tcp"]
    (port,) = (int(binding["HostPort"]) for binding in bindings if binding["HostIp"] == "0.0.0.0")
    assert len(bindings) == 2
    with dockerd.network():
        assert await _fetch(dockerd.endpoint) == [BackendSpec("127.0.0.1", port)]
        assert await _fetch("tcp://localhost:2375") == [BackendSpec("localhost", port)]


async def test_over_tls_only_those_who_know_each_other_talk(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    """The CA of the config counts, whatever the environment says."""
    dockerd = serve(Docker(tls=True))
    (other := dockerd.folder / "other").mkdir()
    stranger = Authority(other)
    trusted: dict[str, Any] = {
        "docker_tls_enabled": True,
        "docker_tls_cacert_path": str(dockerd.authority.ca),
        "docker_tls_cert_path": str(dockerd.client.certificate),
        "docker_tls_key_path": str(dockerd.client.key),
    }
    strange = stranger.issue("client")
    foreign = {"docker_tls_cert_path": str(strange.certificate), "docker_tls_key_path": str(strange.key)}
    with dockerd.network():
        dockerd.run("web-a", publish=["80"])
        environment = {"REQUESTS_CA_BUNDLE": str(stranger.ca), "SSL_CERT_FILE": str(stranger.ca)}
        discovery = _discovery(dockerd.tcp_endpoint, **trusted)
        async with Traffic(discovery, ask=http_body(), environment=environment) as traffic:
            await traffic.served_by("web-a")
            async with traffic.without_failure():
                await to_thread(dockerd.run, "web-b", publish=["80"])
                await traffic.served_by("web-a", "web-b")
        with pytest.raises(DiscoveryError, match="is not trusted: unable to get local issuer certificate"):
            await _fetch(dockerd.tcp_endpoint, **trusted | {"docker_tls_cacert_path": str(stranger.ca)})
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(dockerd.authority.ca))
        with pytest.raises(DiscoveryError, match="is not trusted"):
            await _fetch(dockerd.tcp_endpoint)
        for keys in foreign, {"docker_tls_cert_path": "", "docker_tls_key_path": ""}:
            with pytest.raises(DiscoveryError, match=r"alert|reset|EOF"):
                await _fetch(dockerd.tcp_endpoint, **trusted | keys)
        with pytest.raises(DiscoveryError, match=r"answered 400: .*HTTPS server"):
            await _fetch(dockerd.tcp_endpoint.replace("https", "http"))
        with pytest.raises(DiscoveryError, match=r"cannot load the certificate /no/such\.pem"):
            await _fetch(dockerd.tcp_endpoint, **trusted | {"docker_tls_cert_path": "/no/such.pem"})


@asynccontextmanager
async def _advertised(dockerd: Docker, *names: str) -> AsyncIterator[list[Identity]]:
    """Backends that outlast the engine: a container for each publishes its port, but in another network."""
    async with AsyncExitStack() as stack:
        found = []
        for name in names:
            found.append(await stack.enter_async_context(Identity(name)))
            await to_thread(dockerd.run, name, "--restart=always", publish=[f"{found[-1].address}:80"])
        yield found


async def test_without_its_engine_the_last_backends_are_kept(dockerd: Docker) -> None:
    async with _advertised(dockerd, "web-a", "web-b"), Traffic(_discovery(dockerd.endpoint, interval="1s")) as traffic:
        await traffic.served_by("web-a", "web-b")
        held = await traffic.hold("web-a")
        async with traffic.without_failure():
            await to_thread(dockerd.kill)
            await traffic.logged("push channel broke")
            await traffic.logged("Connection refused; the last 2 backends are kept")
            await traffic.served_by("web-a", "web-b")
            await held.ping()
        await to_thread(dockerd.start)
        await traffic.logged("push channel is back")
        await traffic.served_by("web-a", "web-b")
        await to_thread(dockerd.remove, "web-a")
        await traffic.served_by("web-b")
        await held.ping()
        held.close()
        assert traffic.told("docker discovery failed") == 1, "once per change of state, not once per try"


async def test_or_refused_where_the_policy_says_so(dockerd: Docker) -> None:
    async with _advertised(dockerd, "web-a"), Traffic(_discovery(dockerd.endpoint, failpolicy="setempty")) as traffic:
        await traffic.served_by("web-a")
        await to_thread(dockerd.kill)
        await traffic.refused()
        await to_thread(dockerd.start)
        await traffic.served_by("web-a")


async def test_an_engine_that_does_not_answer_in_time_is_a_failure(dockerd: Docker) -> None:
    async with (
        _advertised(dockerd, "web-a"),
        Traffic(_discovery(dockerd.endpoint, interval="200ms", timeout="500ms")) as traffic,
    ):
        await traffic.served_by("web-a")
        async with traffic.without_failure():
            os.kill(dockerd.main_pid, signal.SIGSTOP)
            await traffic.logged(f"no answer from {dockerd.endpoint} within 500ms")
            await traffic.served_by("web-a")
            os.kill(dockerd.main_pid, signal.SIGCONT)
            await traffic.logged("answers again")
        async with _advertised(dockerd, "web-b"):
            await traffic.served_by("web-a", "web-b")


async def test_an_engine_gone_mad_costs_nothing_else(tmp_path: Path) -> None:
    async with Identity("a") as a, serving(socket=tmp_path / "docker.sock") as server:
        engine = Engine(server)
        port = {"IP": a.host, "PrivatePort": 80, "PublicPort": a.port, "Type": "tcp"}
        engine.containers = [{"Id": "a" * 64, "Names": ["/a"], "Ports": [port]}]
        discovery = _discovery(f"unix://{tmp_path}/docker.sock", interval="100ms")
        await server_goes_mad(discovery, partial(setattr, engine, "instead"))
