"""Several services, as one answer."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from discovery.consul.access import Access
from discovery.consul.kind import ConsulDiscovery, access
from discovery.consul.options import ConsulOptions
from discovery.contract import DiscoveryError
from tests.discovery.consul.answers import answering, entry, host_of
from tests.discovery.web import Web, serving


class Services:
    """Answers for each service: entries, or bytes as they are; a query with an index waits for a change."""

    def __init__(self, server: Web, **services: list[Any] | bytes) -> None:
        self.server = server
        self.services = dict(services)
        self.indexes = dict.fromkeys(services, 1)
        server.answer = self.answer

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        name = request.path.removeprefix("/v1/health/service/")
        if name not in self.services:
            return web.Response(status=404)  # of the questions about rights: as versions before 1.8
        while request.query.get("index") == str(self.indexes[name]) and not self.server.over.is_set():
            await asyncio.sleep(0.005)
        return await answering(self.services[name], index=self.indexes[name])(request)

    def change(self, **services: list[Any] | bytes) -> None:
        for name, answer in services.items():
            self.services[name] = answer
            self.indexes[name] += 1


@pytest.fixture
async def server() -> AsyncIterator[Web]:
    async with serving() as server:
        yield server


def _discovery(server: Web, names: str, **options: Any) -> ConsulDiscovery:
    given = {"kind": "consul", "consul_host": host_of(server), "consul_service_name": names, **options}
    return ConsulDiscovery(ConsulOptions.model_validate(given))


async def test_the_instances_of_several_services_are_one_answer_in_the_order_of_the_config(server: Web) -> None:
    Services(server, web=[entry(80), entry(81)], api=[entry(90)])
    discovery = _discovery(server, "api,web,api")
    assert [spec.port for spec in await discovery.fetch()] == [90, 80, 81]
    await discovery.close()


async def test_when_one_service_fails_the_answer_fails(server: Web) -> None:
    """The others' instances alone would look as if those of this one were gone."""
    Services(server, web=[entry(80)], api=b"garbage")
    discovery = _discovery(server, "web,api")
    with pytest.raises(DiscoveryError, match="'api' is malformed"):
        await discovery.fetch()
    await discovery.close()


async def test_a_change_of_one_service_is_pushed_with_the_instances_of_all(server: Web) -> None:
    services = Services(server, web=[entry(80)], api=[entry(90)])
    discovery = _discovery(server, "web,api")
    pushed = discovery.watch()
    async with asyncio.timeout(10):
        assert [spec.port for spec in await anext(pushed)] == [80, 90]
        for api in [90, 91], [91], []:
            services.change(api=[entry(port) for port in api])
            assert [spec.port for spec in await anext(pushed)] == [80, *api]
    await pushed.aclose()  # type: ignore[attr-defined]
    await discovery.close()


async def test_a_watch_that_breaks_takes_its_other_queries_with_it(server: Web) -> None:
    services = Services(server, web=[entry(80)], api=[entry(90)])
    discovery = _discovery(server, "web,api")
    pushed = discovery.watch()
    async with asyncio.timeout(10):
        await anext(pushed)
        services.change(api=b"garbage")
        with pytest.raises(DiscoveryError, match="'api' is malformed"):
            await anext(pushed)
    others = asyncio.all_tasks() - {asyncio.current_task()}
    assert not [task for task in others if "_next" in repr(task)]
    await discovery.close()


async def test_what_was_skipped_of_one_service_stays_skipped_when_another_changes(
    server: Web, caplog: pytest.LogCaptureFixture
) -> None:
    services = Services(server, web=[entry(80), entry(0)], api=[])
    discovery = _discovery(server, "web,api")
    pushed = discovery.watch()
    async with asyncio.timeout(10):
        for api in [entry(90)], [entry(91)]:
            services.change(api=api)
            await anext(pushed)
            discovery.skipped.settle(logging.getLogger("test"), "here")
            assert discovery.skipped.count == 1
    await pushed.aclose()  # type: ignore[attr-defined]
    await discovery.close()
    assert [record.message for record in caplog.records if "web-0" in record.message] == [
        "here: skipped web 'web-0': port '0' is not a whole number from 1 to 65535"
    ]


async def test_an_empty_list_that_consul_calls_filtered_is_a_failure(server: Web) -> None:
    """Consul 1.11 and later say so in a header."""
    server.answer = answering([], headers={"X-Consul-Results-Filtered-By-ACLs": "true"})
    discovery = _discovery(server, "web", consul_acl_token="s3cret")
    with pytest.raises(DiscoveryError, match="'web' is empty because the ACL token lacks"):
        await discovery.fetch()
    await discovery.close()


async def test_instances_that_consul_calls_filtered_are_told_of(server: Web) -> None:
    server.answer = answering([entry(80)], headers={"X-Consul-Results-Filtered-By-ACLs": "true"})
    discovery = _discovery(server, "web")
    assert len(await discovery.fetch()) == 1
    discovery.skipped.settle(logging.getLogger("test"), "here")
    assert discovery.skipped.count == 1
    await discovery.close()


async def test_an_empty_list_is_believed_where_rights_cannot_be_asked_for(server: Web) -> None:
    Services(server, web=[])
    discovery = _discovery(server, "web")
    assert await discovery.fetch() == []
    await discovery.close()
    assert [request.path for request in server.requests] == [
        "/v1/health/service/web",
        "/v1/internal/acl/authorize",
    ]


def test_every_option_of_access_is_passed_on() -> None:
    options = ConsulOptions.model_validate(
        {
            "kind": "consul",
            "consul_host": "a:1,b:2",
            "consul_service_name": "web",
            "timeout": "7s",
            "consul_service_datacenter": "dc2",
            "consul_allow_stale": True,
            "consul_auth_username": "user",
            "consul_auth_password": "pass",
            "consul_acl_token": "token",
            "consul_tls_enabled": True,
            "consul_tls_cert_path": "cert",
            "consul_tls_key_path": "key",
            "consul_tls_cacert_path": "ca",
        }
    )
    assert access(options, 2.0) == Access(
        ("a:1", "b:2"),
        timeout=7.0,
        datacenter="dc2",
        stale=True,
        username="user",
        password="pass",
        token="token",
        tls=True,
        certificate="cert",
        key="key",
        ca="ca",
    )


def test_the_timeout_is_two_seconds_where_none_is_given() -> None:
    options = {"kind": "consul", "consul_host": "a:1", "consul_service_name": "web", "consul_acl_token_file": "file"}
    found = access(ConsulOptions.model_validate(options), ConsulDiscovery.default_timeout)
    assert found == Access(("a:1",), timeout=2.0, token_file="file")
