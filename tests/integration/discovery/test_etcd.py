"""etcd against the real one, with traffic through the balancer. No interval is set: the watch sees what changes."""

import asyncio
import base64
import json
import os
import shutil
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from discovery.contract import DiscoveryError
from discovery.etcd import Etcd, EtcdOptions
from tests.discovery.test_etcd import answering, page
from tests.discovery.web import serving
from tests.integration.conftest import Serve
from tests.integration.discovery.scenarios import server_goes_mad
from tests.integration.discovery.traffic import Identity, Traffic
from tests.services import etcd as service
from tests.services.jsonapi import JsonApi
from tests.services.ports import free_port

PREFIX = "/services/web/"


@pytest.fixture
async def backends() -> AsyncIterator[dict[str, Identity]]:
    async with AsyncExitStack() as stack:
        yield {name: await stack.enter_async_context(Identity(name)) for name in "abc"}


def options(*endpoints: str, **more: str | list[str]) -> str:
    keys = {"kind": "etcd", "etcd_endpoints": list(endpoints), "etcd_prefix": PREFIX, **more}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items())


async def put(etcd: service.Etcd, *backends: Identity) -> None:
    for backend in backends:
        await asyncio.to_thread(etcd.put, PREFIX + backend.name, backend.address)


async def delete(etcd: service.Etcd, backend: Identity) -> None:
    await asyncio.to_thread(etcd.delete, PREFIX + backend.name)


async def test_keys_come_and_go_under_traffic(etcd: service.Etcd, backends: dict[str, Identity]) -> None:
    """Lines, JSON, a key beside the prefix, and one that is no backend."""
    a, b, c = backends.values()
    await put(etcd, a)
    etcd.put("/services/other", c.address)
    async with Traffic(options(etcd.url)) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await put(etcd, b)
            await traffic.served_by("a", "b")
            etcd.put(PREFIX + "c", json.dumps({"host": c.host, "port": str(c.port), "weight": 2}))
            await traffic.served_by("a", "b", "c")
            held = await traffic.hold("a")
            await delete(etcd, a)
            await traffic.served_by("b", "c")
            etcd.put(PREFIX + "b", "nonsense")
            await traffic.served_by("c")
            await traffic.logged(f"skipped key {PREFIX}b: 'nonsense' has no port")
            await held.ping()
            held.close()
            await asyncio.to_thread(etcd.compact)
            await put(etcd, a)
            await traffic.served_by("a", "c")
        await delete(etcd, a)
        await delete(etcd, c)
        await traffic.refused()


async def test_a_killed_server_changes_nothing_until_it_is_back(
    etcd: service.Etcd, backends: dict[str, Identity]
) -> None:
    """And then changes are pushed again."""
    a, b, c = backends.values()
    await put(etcd, a)
    async with Traffic(options(etcd.url)) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await asyncio.to_thread(etcd.kill)
            await traffic.logged("push channel broke")
            await traffic.logged(f"etcd discovery failed: {etcd.url}: ")
            await asyncio.to_thread(etcd.start)
            await put(etcd, b)
            await traffic.served_by("a", "b")
            await put(etcd, c)
            await traffic.served_by("a", "b", "c")
            await delete(etcd, a)
            await traffic.served_by("b", "c")


async def test_a_killed_server_empties_the_pool_where_the_policy_says_so(
    etcd: service.Etcd, backends: dict[str, Identity]
) -> None:
    await put(etcd, backends["a"])
    async with Traffic(options(etcd.url, failpolicy="setempty")) as traffic:
        await traffic.served_by("a")
        await asyncio.to_thread(etcd.kill)
        await traffic.refused()
        await asyncio.to_thread(etcd.start)
        await traffic.served_by("a")


async def test_a_cluster_that_loses_its_leader_is_asked_on(
    etcd_cluster: service.EtcdCluster, backends: dict[str, Identity]
) -> None:
    """The leader is asked first, and watched; after it two members go on, and one alone answers nothing."""
    leader = await asyncio.to_thread(etcd_cluster.wait_for_leader)
    others = [member for member in etcd_cluster.members if member is not leader]
    a, b, c = backends.values()
    await put(leader, a)
    nobody = f"http://127.0.0.1:{free_port()}"
    endpoints = [nobody, leader.url, *(member.url for member in others)]
    async with Traffic(options(*endpoints, interval="500ms", timeout="2s")) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await asyncio.to_thread(etcd_cluster.kill_leader)
            await asyncio.to_thread(etcd_cluster.wait_for_leader)
            await put(others[0], b)
            await traffic.served_by("a", "b")
            await asyncio.to_thread(others[1].kill)
            await traffic.logged("the last 2 backends are kept")
            await asyncio.to_thread(leader.start)
            await asyncio.to_thread(etcd_cluster.wait_for_leader)
            await put(leader, c)
            await traffic.served_by("a", "b", "c")


async def test_a_server_slower_than_the_timeout_is_a_failure(etcd: service.Etcd, backends: dict[str, Identity]) -> None:
    """Stopped, it accepts connections and answers nothing; the watch's connection stays open meanwhile."""
    a, b, _ = backends.values()
    await put(etcd, a)
    async with Traffic(options(etcd.url, timeout="300ms", interval="200ms")) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            os.killpg(etcd.pid, signal.SIGSTOP)
            try:
                await traffic.logged("etcd discovery failed: ")
                await traffic.logged(etcd.url)
            finally:
                os.killpg(etcd.pid, signal.SIGCONT)
            await traffic.logged("answers again: 1 backends")
            await put(etcd, b)
            await traffic.served_by("a", "b")


def limited_user(etcd: service.Etcd, name: str, password: str) -> None:
    """May read what begins with the prefix, and no more."""
    encoded = [base64.b64encode(text.encode()).decode() for text in (PREFIX, PREFIX[:-1] + "0")]
    permission = {"permType": "READ", "key": encoded[0], "range_end": encoded[1]}
    etcd.api.post("/v3/auth/role/add", {"name": name})
    etcd.api.post("/v3/auth/role/grant", {"name": name, "perm": permission})
    etcd.api.post("/v3/auth/user/add", {"name": name, "password": password})
    etcd.api.post("/v3/auth/user/grant", {"user": name, "role": name})


async def test_a_user_with_a_password(serve: Serve, backends: dict[str, Identity]) -> None:
    """A restart makes the server forget its tokens; a new one is fetched."""
    etcd = serve(service.Etcd(password="root-pw"))
    a, b, c = backends.values()
    limited_user(etcd, "reader", "reader-pw")
    await put(etcd, a)
    async with Traffic(options(etcd.url, etcd_username="reader", etcd_password="reader-pw")) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await put(etcd, b)
            await traffic.served_by("a", "b")
            await asyncio.to_thread(etcd.restart)
            await put(etcd, c)
            await traffic.served_by("a", "b", "c")
            await delete(etcd, c)
            await traffic.served_by("a", "b")
        assert "reader-pw" not in traffic.log


@pytest.mark.parametrize(
    ("credentials", "problem"),
    [
        (
            {"etcd_username": "reader", "etcd_password": "wrong-pw"},
            "authentication failed, invalid user ID or password",
        ),
        ({"etcd_username": "stranger", "etcd_password": "stranger-pw"}, "etcdserver: permission denied"),
        ({}, "etcdserver: user name is empty"),
    ],
)
async def test_wrong_credentials_are_named(serve: Serve, credentials: dict[str, str], problem: str) -> None:
    etcd = serve(service.Etcd(password="root-pw"))
    limited_user(etcd, "reader", "reader-pw")
    etcd.api.post("/v3/auth/user/add", {"name": "stranger", "password": "stranger-pw"})
    async with Traffic(options(etcd.url, **credentials)) as traffic:
        await traffic.logged(f"etcd discovery failed: {etcd.url} answered 4")
        await traffic.logged(problem)
        assert "-pw" not in traffic.log


async def test_tls_with_client_certificate(serve: Serve, backends: dict[str, Identity]) -> None:
    """The CA of the config counts, whatever the environment says."""
    etcd = serve(service.Etcd(tls=True))
    a, b, _ = backends.values()
    await put(etcd, a)
    files = {"cacert_path": etcd.authority.ca, "cert_path": etcd.client.certificate, "key_path": etcd.client.key}
    tls = {f"etcd_tls_{key}": str(path) for key, path in files.items()}
    nothing = dict.fromkeys(("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"), os.devnull)
    async with Traffic(options(etcd.url, **tls), environment=nothing) as traffic:
        await traffic.served_by("a")
        async with traffic.without_failure():
            await put(etcd, b)
            await traffic.served_by("a", "b")


def discovery(*endpoints: str, **more: Any) -> Etcd:
    return Etcd(EtcdOptions.model_validate({"etcd_endpoints": list(endpoints), "etcd_prefix": PREFIX, **more}))


async def test_a_server_that_cannot_be_verified_is_a_failure(serve: Serve) -> None:
    etcd, other = serve(service.Etcd(tls=True)), service.Etcd(tls=True)
    shown = {"etcd_tls_cert_path": str(etcd.client.certificate), "etcd_tls_key_path": str(etcd.client.key)}
    trusted = {"etcd_tls_cacert_path": str(etcd.authority.ca)}
    try:
        for wrong in ({}, {"etcd_tls_cacert_path": str(other.authority.ca)}):
            kind = discovery(etcd.url, **shown, **wrong)
            with pytest.raises(DiscoveryError, match=f"{etcd.url}: .*certificate verify failed"):
                await kind.fetch()
        kind = discovery(etcd.url, **trusted)
        with pytest.raises(DiscoveryError, match=f"{etcd.url}: "):  # it wants to see a certificate
            await kind.fetch()
        kind = discovery(etcd.url, **shown, **trusted)
        assert await kind.fetch() == []
        await kind.close()
        kind = discovery(etcd.url, **shown, etcd_tls_ignore_verify=True)
        assert await kind.fetch() == []
        await kind.close()
    finally:
        other.close()


async def test_a_watch_from_a_compacted_revision_starts_again(etcd: service.Etcd) -> None:
    """The next fetch brings a revision from which it can go on."""
    kind = discovery(etcd.url)
    etcd.put(PREFIX + "a", "a:80")
    await kind.fetch()
    for port in (81, 82, 83):
        etcd.put(PREFIX + "a", f"a:{port}")
    etcd.compact()
    with pytest.raises(DiscoveryError, match=rf"the changes before revision {etcd.revision()} are compacted"):
        await anext(kind.watch())
    assert [spec.port for spec in await kind.fetch()] == [83]
    change = asyncio.ensure_future(anext(kind.watch()))
    await asyncio.sleep(0.1)
    assert not change.done()
    await asyncio.to_thread(etcd.put, PREFIX + "b", "b:80")
    await change
    await kind.close()


async def test_a_change_between_fetch_and_watch_is_told(etcd: service.Etcd) -> None:
    kind = discovery(etcd.url)
    await kind.fetch()
    etcd.put(PREFIX + "a", "a:80")
    await anext(kind.watch())
    await kind.close()


async def test_a_store_that_was_replaced_is_read_from_its_beginning(etcd: service.Etcd) -> None:
    """Its revisions start again: waiting for the next one would take for ever."""
    kind = discovery(etcd.url)
    for port in (80, 81, 82):
        etcd.put(PREFIX + "a", f"a:{port}")
    await kind.fetch()
    await asyncio.to_thread(etcd.stop)
    shutil.rmtree(etcd.folder / "data")
    await asyncio.to_thread(etcd.start)
    with pytest.raises(DiscoveryError, match="the store went back from revision"):
        await anext(kind.watch())
    assert await kind.fetch() == []
    etcd.put(PREFIX + "a", "a:80")
    await anext(kind.watch())
    await kind.close()


async def test_ten_thousand_keys(etcd: service.Etcd) -> None:
    """In pages; all of one revision."""
    api: JsonApi = etcd.api
    for start in range(0, 10_000, 100):
        puts = [
            {
                "requestPut": {
                    "key": encode(f"{PREFIX}{number:05}"),
                    "value": encode(f"10.{number // 250}.{number % 250}.1:80"),
                }
            }
            for number in range(start, start + 100)
        ]
        api.post("/v3/kv/txn", {"success": puts})
    kind = discovery(etcd.url)
    started = time.perf_counter()
    assert len({spec.host for spec in await kind.fetch()}) == 10_000
    print(f"10,000 keys in {time.perf_counter() - started:.2f} s")
    await kind.close()


def encode(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


async def test_a_server_gone_mad_costs_nothing_else(backends: dict[str, Identity]) -> None:
    good = answering(page({f"{PREFIX}a": backends["a"].address}))
    async with serving() as server:
        discovery = options(server.url.rstrip("/"), interval="100ms")
        await server_goes_mad(discovery, lambda hostile: setattr(server, "answer", hostile or good))
