"""Which servers are asked, for which names, and where aliases lead."""

from pathlib import Path

import dns.rcode
import pytest

from discovery.contract import DiscoveryError
from discovery.dnsclient import resolver as module
from discovery.dnsclient.reply import Type
from discovery.dnsclient.resolver import Resolver
from tests.discovery.dnsclient.responder import Query, responding, zone
from tests.services.ports import free_port


class Several(Resolver):
    """Asks these loopback servers, as if the system's were at these ports."""

    def __init__(self, *servers: str) -> None:
        super().__init__(servers[0])
        self._addresses = [(server.rpartition(":")[0], int(server.rpartition(":")[2])) for server in servers]

    async def _given(self, _server: str) -> list[tuple[str, int]]:
        return self._addresses


async def resolver_of(*servers: str) -> Resolver:
    """Ready to look up."""
    resolver = Several(*servers)
    await resolver.refresh()
    return resolver


async def test_aliases_are_followed_from_reply_to_reply() -> None:
    """As an authoritative server answers, which does not follow them itself."""
    records = "a.example. 30 CNAME b.test.", "b.test. 9 CNAME c.test.", "c.test. 20 A 10.0.0.1", "c.test. 20 A 10.0.0.2"
    async with responding(zone(*records)) as server:
        resolver = await resolver_of(server.address)
        answer = await resolver.lookup("A.example", Type.A)
        assert {record.data for record in answer.records} == {"10.0.0.1", "10.0.0.2"}
        assert (answer.ttl, answer.exists) == (9, True)
        assert server.asked == ["A a.example.", "A b.test.", "A c.test."]


@pytest.mark.parametrize(
    "records", [["a a"], ["a b", "b a"], ["a b", "b c", "c b"]], ids=["of itself", "of two", "beside the name"]
)
async def test_aliases_in_a_circle_are_an_error(records: list[str]) -> None:
    """And not a name without addresses, which would empty the pool."""
    circle = [f"{alias}.example. 1 CNAME {name}.example." for alias, name in map(str.split, records)]

    async with responding(lambda query: query.reply(*circle)) as server:
        resolver = await resolver_of(server.address)
        with pytest.raises(DiscoveryError, match=r"^a\.example\.: the CNAMEs do not end"):
            await resolver.lookup("a.example.", Type.A)


async def test_aliases_without_an_end_are_an_error() -> None:
    def onward(query: Query) -> bytes:
        return query.reply(f"{query.name} 1 CNAME x{query.name}")

    async with responding(onward) as server:
        resolver = await resolver_of(server.address)
        with pytest.raises(DiscoveryError, match=r"^a\.example\.: the CNAMEs do not end"):
            await resolver.lookup("a.example", Type.A)


async def test_an_alias_to_nowhere_is_no_such_name() -> None:
    async with responding(zone("a.example. 30 CNAME b.test.")) as server:
        resolver = await resolver_of(server.address)
        answer = await resolver.lookup("a.example", Type.A)
        assert (answer.records, answer.exists) == ([], False)


async def test_the_next_server_is_asked_when_one_fails() -> None:
    """Refused, then SERVFAIL, then an answer; the next question starts with the server that answered."""
    async with (
        responding(lambda query: query.reply(rcode=dns.rcode.SERVFAIL)) as failing,
        responding(zone("a.example. 1 A 10.0.0.1")) as working,
    ):
        resolver = await resolver_of(f"127.0.0.1:{free_port()}", failing.address, working.address)
        for _ in range(2):
            assert [record.data for record in (await resolver.lookup("a.example", Type.A)).records] == ["10.0.0.1"]
        assert (len(failing.queries), len(working.queries)) == (1, 2)


async def test_the_next_server_is_asked_when_one_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENCE", 0.01)
    async with responding(lambda query: []) as silent, responding(zone("a.example. 1 A 10.0.0.1")) as working:
        resolver = await resolver_of(silent.address, working.address)
        assert (await resolver.lookup("a.example", Type.A)).records
        assert len(silent.queries) == 1


async def test_the_error_names_every_server() -> None:
    nobody = f"127.0.0.1:{free_port()}"
    async with responding(lambda query: query.reply(rcode=dns.rcode.REFUSED)) as failing:
        resolver = await resolver_of(nobody, failing.address)
        with pytest.raises(DiscoveryError) as caught:
            await resolver.lookup("a.example", Type.A)
        assert f"{nobody} has no answer to A a.example.: " in str(caught.value)
        assert f"{failing.address} answers REFUSED to A a.example." in str(caught.value)


async def test_a_server_may_be_given_by_its_name() -> None:
    async with responding(zone("a.example. 1 A 10.0.0.1")) as server:
        resolver = Resolver(f"localhost:{server.port}")
        await resolver.refresh()
        assert (await resolver.lookup("a.example", Type.A)).records


async def test_a_server_whose_name_is_unknown_is_an_error() -> None:
    with pytest.raises(DiscoveryError, match=r"the name server's own name nowhere\.invalid cannot be looked up"):
        await Resolver("nowhere.invalid:53").refresh()


@pytest.mark.parametrize(
    ("options", "name", "candidates"),
    [
        ("search b.test c.test", "a.example.", ["a.example."]),
        ("search b.test c.test", "A.example", ["a.example.", "a.example.b.test.", "a.example.c.test."]),
        ("search b.test c.test", "a", ["a.b.test.", "a.c.test.", "a."]),
        ("search b.test\noptions ndots:2", "a.example", ["a.example.b.test.", "a.example."]),
        ("search b.test\noptions ndots:0", "a", ["a.", "a.b.test."]),
        ("search b.test", ".".join(["a" * 61] * 4), [".".join(["a" * 61] * 4) + "."]),
        ("domain d.test", "a", ["a.d.test.", "a."]),
    ],
)
async def test_names_are_searched_for_as_resolv_conf_says(
    tmp_path: Path, options: str, name: str, candidates: list[str]
) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(f"nameserver 127.0.0.1\nnameserver ::1\n{options}\n")
    resolver = Resolver(None, resolv_conf=str(file))
    await resolver.refresh()
    assert resolver.candidates(name) == candidates
    assert resolver.servers == ["127.0.0.1:53", "[::1]:53"]


async def test_a_given_server_is_asked_for_the_name_as_it_stands() -> None:
    resolver = Resolver("127.0.0.1:53")
    await resolver.refresh()
    assert resolver.candidates("a") == ["a."]


@pytest.mark.parametrize("content", [None, "", "search a.test\n", "nameserver nonsense\n"])
async def test_a_system_without_a_server_is_an_error(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "resolv.conf"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DiscoveryError, match=f"{file} names no name server to ask"):
        await Resolver(None, resolv_conf=str(file)).refresh()


async def test_a_changed_resolv_conf_counts_from_the_next_refresh(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("nameserver 127.0.0.1\n")
    resolver = Resolver(None, resolv_conf=str(file))
    await resolver.refresh()
    file.write_text("nameserver 127.0.0.2\nnameserver 127.0.0.1\n")
    await resolver.refresh()
    assert resolver.servers == ["127.0.0.2:53", "127.0.0.1:53"]
