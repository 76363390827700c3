"""SRV records to backends."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import dns.rcode
import pytest
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.contract import DiscoveryError
from discovery.dnsclient.reply import Type
from discovery.srv import Srv, SrvOptions, missing
from tests.discovery.dnsclient.responder import Answer, Query, Responder, responding, zone

NAME = "_http._tcp.example."
SERVICES = f"{NAME} 60 SRV 1 20 8080 web1.example.", f"{NAME} 60 SRV 2 0 8081 Web2.example."
ADDRESSES = "web1.example. 60 A 10.0.0.1", "web1.example. 60 AAAA 2001:db8::1", "web2.example. 60 A 10.0.0.2"
SPECS = [
    BackendSpec("10.0.0.1", 8080, 20, 1, sni="web1.example"),
    BackendSpec("2001:db8::1", 8080, 20, 1, sni="web1.example"),
    BackendSpec("10.0.0.2", 8081, 0, 2, sni="Web2.example"),
]


def make(server: str, **options: Any) -> Srv:
    given = {"kind": "srv", "srv_lookup_server": server, "srv_lookup_pattern": NAME, **options}
    return Srv(SrvOptions.model_validate(given))


@contextlib.asynccontextmanager
async def discovery(answer: Answer, **options: Any) -> AsyncIterator[tuple[Srv, Responder]]:
    async with responding(answer) as responder, asyncio.timeout(10):
        kind = make(responder.address, **options)
        yield kind, responder
        await kind.close()


def skipped(kind: Srv) -> list[str]:
    return list(kind.skipped._now)


@pytest.mark.parametrize("protocol", ["udp", "tcp"])
async def test_each_address_of_each_target_is_a_backend(protocol: str) -> None:
    async with discovery(zone(*SERVICES, *ADDRESSES), srv_dns_protocol=protocol) as (kind, responder):
        assert await kind.fetch() == SPECS
        assert sorted(responder.asked[1:]) == [
            "A web1.example.",
            "A web2.example.",
            "AAAA web1.example.",
            "AAAA web2.example.",
        ]
        assert {query.tcp for query in responder.queries} == {protocol == "tcp"}


async def test_addresses_sent_along_are_not_looked_up() -> None:
    additional = *ADDRESSES, "web2.example. 60 AAAA ::2", "other.example. 60 A 10.6.6.6"
    async with discovery(lambda query: query.reply(*SERVICES, additional=additional)) as (kind, responder):
        assert {spec.host for spec in await kind.fetch()} == {"10.0.0.1", "10.0.0.2", "2001:db8::1", "::2"}
        assert responder.asked == [f"SRV {NAME}"]


def test_what_the_server_had_no_room_for_is_looked_up() -> None:
    """Both families of a target without addresses; and a family that only other targets have."""
    a, aaaa = Type.A, Type.AAAA
    assert missing(["x", "y"], {}) == [("x", a), ("x", aaaa), ("y", a), ("y", aaaa)]
    assert missing(["x", "y"], {("x", a): ["1"], ("y", a): ["2"]}) == []
    assert missing(["x", "y"], {("x", a): ["1"], ("x", aaaa): ["::1"], ("y", a): ["2"]}) == [("y", aaaa)]
    assert missing(["x", "y"], {("x", a): ["1"]}) == [("y", a), ("y", aaaa)]


async def test_a_target_may_be_an_alias() -> None:
    records = f"{NAME} 60 SRV 1 1 80 www.example.", "www.example. 60 CNAME web1.example.", *ADDRESSES
    async with discovery(zone(*records)) as (kind, _):
        assert await kind.fetch() == [
            BackendSpec("10.0.0.1", 80, sni="www.example"),
            BackendSpec("2001:db8::1", 80, sni="www.example"),
        ]


async def test_the_name_may_be_an_alias() -> None:
    services = f"{NAME} 60 CNAME real.example.", "real.example. 60 SRV 1 20 8080 web1.example."
    async with discovery(zone(*services, *ADDRESSES)) as (kind, _):
        assert await kind.fetch() == SPECS[:2]


async def test_the_order_does_not_depend_on_the_servers() -> None:
    """Servers turn their records; the first of two with the same address must stay the first."""
    services = [f"{NAME} 60 SRV 1 {weight} 80 {target}.example." for weight, target in enumerate("abcd")]
    addresses = [f"{target}.example. 60 A 10.0.0.1" for target in "abcd"]

    def turning(query: Query) -> bytes:
        services.append(services.pop(0))
        return query.reply(*services, additional=addresses)

    async with discovery(turning) as (kind, _):
        assert len({tuple(await kind.fetch()) for _ in range(6)}) == 1


async def test_a_service_that_is_not_available_here_has_no_backends() -> None:
    """RFC 2782: the target "."."""
    async with discovery(zone(f"{NAME} 60 SRV 0 0 0 .")) as (kind, responder):
        assert await kind.fetch() == []
        assert skipped(kind) == [f"{NAME}: target '.': the service is decidedly not available here (RFC 2782)"]
        assert responder.asked == [f"SRV {NAME}"]


async def test_a_bad_record_does_not_spoil_the_others() -> None:
    bad = f"{NAME} 60 SRV 1 1 0 web1.example.", f"{NAME} 60 SRV 1 1 80 nowhere.example."
    async with discovery(zone(*SERVICES, *ADDRESSES, *bad)) as (kind, _):
        assert await kind.fetch() == SPECS
        assert sorted(skipped(kind)) == [
            "nowhere.example.:80: the target has no address",
            "web1.example.:0: port '0' is not a whole number from 1 to 65535",
        ]


async def test_no_such_name_and_no_records_are_empty_answers() -> None:
    async with discovery(zone()) as (kind, _):
        assert await kind.fetch() == []
        assert skipped(kind) == [f"{NAME}: there is no such name (NXDOMAIN)"]
    async with discovery(zone(f"{NAME} 60 TXT x")) as (kind, _):
        assert await kind.fetch() == []
        assert skipped(kind) == []


@pytest.mark.parametrize("rcode", [dns.rcode.SERVFAIL, dns.rcode.REFUSED])
async def test_an_error_of_the_server_is_a_failure(rcode: dns.rcode.Rcode) -> None:
    async with discovery(lambda query: query.reply(rcode=rcode)) as (kind, responder):
        with pytest.raises(DiscoveryError, match=f"{responder.address} answers {rcode.name} to SRV {NAME}"):
            await kind.fetch()


def failing_for(*targets: str, silent: bool = False) -> Answer:
    """The zone, but no good answer for these."""
    good = zone(*SERVICES, *ADDRESSES)

    def answer(query: Query) -> Any:
        if query.name not in targets:
            return good(query)
        return [] if silent else query.reply(rcode=dns.rcode.SERVFAIL)

    return answer


@pytest.mark.parametrize("silent", [False, True])
async def test_a_target_that_cannot_be_looked_up_keeps_its_last_addresses(silent: bool) -> None:
    async with discovery(failing_for(), timeout="500ms") as (kind, responder):
        assert await kind.fetch() == SPECS
        responder.answer = failing_for("web1.example.", silent=silent)
        assert await kind.fetch() == SPECS
        reason = "no answer in time" if silent else f"{responder.address} answers SERVFAIL to A web1.example."
        assert f"A web1.example.: {reason}; its last known addresses are kept" in skipped(kind)


@pytest.mark.parametrize("silent", [False, True])
async def test_a_target_that_was_never_looked_up_is_skipped(silent: bool) -> None:
    async with discovery(failing_for("web1.example.", silent=silent), timeout="500ms") as (kind, _):
        assert await kind.fetch() == SPECS[2:]
        assert "web1.example.:8080: the target has no address" in skipped(kind)


async def test_look_ups_that_all_fail_are_a_failure() -> None:
    async with discovery(failing_for("web1.example.", "Web2.example.", "web2.example.")) as (kind, _):
        with pytest.raises(DiscoveryError, match="SERVFAIL to A"):
            await kind.fetch()


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"srv_lookup_server": "localhost"}, "srv_lookup_server"),
        ({"srv_lookup_server": "::1:53"}, "srv_lookup_server"),
        ({"srv_lookup_pattern": ""}, "srv_lookup_pattern"),
        ({"srv_lookup_pattern": "a..b"}, "srv_lookup_pattern"),
        ({"srv_lookup_pattern": "x" * 64}, "srv_lookup_pattern"),
        ({"srv_lookup_pattern": ".".join("x" * 200)}, "srv_lookup_pattern"),
        ({"srv_dns_protocol": "tls"}, "srv_dns_protocol"),
        ({"srv_lookup_patern": "a"}, "srv_lookup_patern"),
    ],
)
def test_a_wrong_option_is_an_error_of_the_config(options: dict[str, str], where: str) -> None:
    with pytest.raises(ValidationError) as caught:
        make("127.0.0.1:53", **options)
    assert [error["loc"] for error in caught.value.errors()] == [(where,)]


def test_without_a_server_the_systems_are_asked() -> None:
    assert SrvOptions(srv_lookup_pattern=NAME).srv_lookup_server is None
    assert Srv(SrvOptions(srv_lookup_pattern=NAME)).source == "the system's resolvers"
