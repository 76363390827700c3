"""Addresses of a name, and when they are asked for again."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dns.rcode
import pytest
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery import dns as module
from discovery.contract import DiscoveryError
from discovery.dns import LONGEST, SHORTEST, Dns, DnsOptions, lifetime
from tests.discovery.dnsclient.responder import Answer, Query, Responder, responding, zone

RECORDS = "web.example. 60 A 10.0.0.2", "web.example. 60 A 10.0.0.1", "web.example. 30 AAAA 2001:db8::1"


def make(server: str, **options: Any) -> Dns:
    given = {"kind": "dns", "dns_lookup_server": server, "dns_name": "web.example.", "dns_port": 80, **options}
    return Dns(DnsOptions.model_validate(given))


@contextlib.asynccontextmanager
async def discovery(answer: Answer, **options: Any) -> AsyncIterator[tuple[Dns, Responder]]:
    async with responding(answer) as responder, asyncio.timeout(10):
        kind = make(responder.address, **options)
        yield kind, responder
        await kind.close()


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_each_address_is_a_backend(protocol: str) -> None:
    async with discovery(zone(*RECORDS), dns_protocol=protocol, dns_sni="web.example") as (kind, responder):
        assert await kind.fetch() == [
            BackendSpec(host, 80, sni="web.example") for host in ("10.0.0.1", "10.0.0.2", "2001:db8::1")
        ]
        assert {query.tcp for query in responder.queries} == {protocol == "tcp"}


@pytest.mark.parametrize(("version", "hosts"), [("IPv4", ["10.0.0.1", "10.0.0.2"]), ("IPv6", ["2001:db8::1"])])
async def test_one_family_may_be_enough(version: str, hosts: list[str]) -> None:
    async with discovery(zone(*RECORDS), dns_address_type=version) as (kind, responder):
        assert [spec.host for spec in await kind.fetch()] == hosts
        assert len(responder.queries) == 1


async def test_no_such_name_and_no_addresses_are_empty_answers() -> None:
    async with discovery(zone()) as (kind, _):
        assert await kind.fetch() == []
        assert list(kind.skipped._now) == ["web.example.: there is no such name (NXDOMAIN)"]
    async with discovery(zone("web.example. 60 TXT x")) as (kind, _):
        assert await kind.fetch() == []
        assert not kind.skipped._now


async def test_one_family_that_fails_is_a_failure() -> None:
    def half(query: Query) -> bytes:
        return query.reply(rcode=dns.rcode.SERVFAIL) if query.type == "AAAA" else zone(*RECORDS)(query)  # type: ignore[return-value]

    async with discovery(half) as (kind, responder):
        with pytest.raises(DiscoveryError, match=f"{responder.address} answers SERVFAIL to AAAA web.example."):
            await kind.fetch()


@pytest.mark.parametrize(
    ("ttls", "seconds"),
    [
        ([60, 30], 30.0),
        ([60, None], 60.0),
        ([0, 60], SHORTEST),
        ([2**31 - 1], LONGEST),
        ([None], SHORTEST),
        ([], SHORTEST),
    ],
)
def test_the_least_ttl_counts_within_bounds(ttls: list[int | None], seconds: float) -> None:
    assert lifetime(ttls) == seconds


async def test_the_name_is_asked_for_again_when_its_ttl_is_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once after each answer; after a failure not before the next answer, since retries are the loop's."""
    monkeypatch.setattr(module, "SHORTEST", 0.02)
    async with discovery(zone("web.example. 0 A 10.0.0.1")) as (kind, responder):
        watch = kind.watch()
        expiry = asyncio.ensure_future(anext(watch))
        await asyncio.sleep(0.05)
        assert not expiry.done()
        await kind.fetch()
        await expiry

        expiry = asyncio.ensure_future(anext(watch))
        responder.answer = lambda query: query.reply(rcode=dns.rcode.SERVFAIL)
        with pytest.raises(DiscoveryError):
            await kind.fetch()
        await asyncio.sleep(0.05)
        assert not expiry.done()
        responder.answer = zone("web.example. 0 A 10.0.0.1")
        await kind.fetch()
        await expiry


async def test_another_fetch_starts_the_ttl_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    async with discovery(zone("web.example. 300 A 10.0.0.1")) as (kind, responder):
        expiry = asyncio.ensure_future(anext(kind.watch()))
        await kind.fetch()
        await asyncio.sleep(0)
        monkeypatch.setattr(module, "SHORTEST", 0.02)
        responder.answer = zone("web.example. 0 A 10.0.0.1")
        await kind.fetch()
        await expiry


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"dns_lookup_server": "localhost"}, "dns_lookup_server"),
        ({"dns_name": "a..b"}, "dns_name"),
        ({"dns_port": 0}, "dns_port"),
        ({"dns_port": "80"}, "dns_port"),
        ({"dns_address_type": "ipv4"}, "dns_address_type"),
        ({"dns_protocol": "tls"}, "dns_protocol"),
    ],
)
def test_a_wrong_option_is_an_error_of_the_config(options: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make("127.0.0.1:53", **options)
    assert [error["loc"] for error in caught.value.errors()] == [(where,)]


@pytest.mark.parametrize("option", ["dns_name", "dns_port"])
def test_a_missing_option_is_an_error_of_the_config(option: str) -> None:
    given: dict[str, Any] = {"dns_name": "a", "dns_port": 80}
    del given[option]
    with pytest.raises(ValidationError) as caught:
        DnsOptions.model_validate(given)
    assert [(error["loc"], error["type"]) for error in caught.value.errors()] == [((option,), "missing")]
