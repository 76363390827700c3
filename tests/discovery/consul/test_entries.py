"""From Consul's JSON to backends."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.backend import BackendSpec
from discovery.consul.client import Reply
from discovery.consul.entries import MOST_SKIPPED, Instances, instance, instances
from discovery.contract import MAX_ANSWER, DiscoveryError
from tests.discovery.consul.answers import entry
from tests.services.process import LOOPBACK


def _reply(body: object) -> Reply:
    text = body if isinstance(body, str) else json.dumps(body)
    return Reply("a:1", 200, 5, filtered=False, text=text)


async def _read(body: object) -> Instances:
    return await instances("web", _reply(body))


async def test_an_instance_is_a_backend() -> None:
    found = await _read([entry(80), entry(81)])
    assert found.specs == [BackendSpec(LOOPBACK, 80), BackendSpec(LOOPBACK, 81)]
    assert found.skipped == []


@pytest.mark.parametrize(("address", "host"), [("", "127.0.0.9"), ("db.example", "db.example"), ("fd00::1", "fd00::1")])
def test_where_the_service_has_no_address_the_node_s_counts(address: str, host: str) -> None:
    assert instance(entry(80, Address=address)).host == host


@pytest.mark.parametrize(("status", "weight"), [("passing", 7), ("warning", 2), ("critical", 2), ("maintenance", 2)])
def test_the_weight_is_that_of_the_state(status: str, weight: int) -> None:
    assert instance(entry(80, status=status, Weights={"Passing": 7, "Warning": 2})).weight == weight


def test_without_weights_it_is_one() -> None:
    assert instance(entry(80, Weights=None)).weight == 1


def test_priority_max_connections_and_sni_come_from_meta() -> None:
    meta = {"priority": "2", "max_connections": "30", "sni": "a.example", "zone": "x"}
    assert instance(entry(80, Meta=meta)) == BackendSpec(LOOPBACK, 80, 1, 2, 30, "a.example")


def test_or_from_tags_up_to_their_end_or_a_space() -> None:
    tags = ["blue", "sni=a.example and more", "priority=2", "max_connections=30", "sni=b.example"]
    assert instance(entry(80, Tags=tags)) == BackendSpec(LOOPBACK, 80, 1, 2, 30, "a.example")


def test_meta_wins_over_tags() -> None:
    assert instance(entry(80, Meta={"sni": "meta"}, Tags=["sni=tag"])).sni == "meta"


@pytest.mark.parametrize(
    ("service", "reason"),
    [
        ({"Port": 0}, "port '0'"),
        ({"Port": None}, "port"),
        ({"Port": "http"}, "port 'http'"),
        ({"Address": ["::1"]}, "address"),
        ({"Address": "a b"}, "host 'a b'"),
        ({"Weights": {"Passing": -1}}, "weight '-1'"),
        ({"Weights": [1]}, "Weights"),
        ({"Meta": {"priority": "high"}}, "priority 'high'"),
        ({"Meta": {"sni": ["a"]}}, "Meta"),
        ({"Tags": ["max_connections=many"]}, "max_connections 'many'"),
        ({"Tags": "sni=a"}, "Tags"),
    ],
)
async def test_a_bad_instance_is_skipped_and_does_not_spoil_the_others(service: dict[str, Any], reason: str) -> None:
    found = await _read([entry(80), entry(81, **service), entry(82)])
    assert [spec.port for spec in found.specs] == [80, 82]
    (message,) = found.skipped
    assert message.startswith("web 'web-81': ")
    assert reason in message


async def test_an_instance_without_a_name_is_told_by_its_number() -> None:
    found = await _read([entry(80), {}, {"Service": 5}])
    assert [message.partition(":")[0] for message in found.skipped] == ["web entry 2", "web entry 3"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "null",
        "[",
        "[1]",
        "[[]]",
        '[{"Node": {}]',
        "[{},]",
        "[{}] x",
        "[" * 100_000,
        '[{"a":' * 100_000,
        '[{"Service": {"Port": ' + "9" * 100_000 + "}}]",
        "\0" * 100,
        "<html>",
    ],
    ids=lambda text: text[:12],
)
async def test_a_malformed_answer_is_a_failure_that_names_host_and_service(text: str) -> None:
    with pytest.raises(DiscoveryError, match=r"^a:1: the answer for 'web' is malformed: "):
        await _read(text)


async def test_an_answer_of_nothing_but_bad_entries_is_bad_as_a_whole() -> None:
    assert len((await _read([{}] * MOST_SKIPPED)).skipped) == MOST_SKIPPED
    with pytest.raises(DiscoveryError, match="more than 10000 entries"):
        await _read([{}] * (MOST_SKIPPED + 1))


async def test_thousands_of_instances_give_way_to_other_events() -> None:
    """As many as fit into an answer: the work is longer than a slice, so other tasks run in between."""
    one = json.dumps(entry(80))
    text = f"[{','.join([one] * (MAX_ANSWER // (len(one) + 1)))}]"
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    found = await _read(text)
    counting.cancel()
    assert len(found.specs) > 15_000
    assert turns > 5


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=10,
)
VALUES = JSON | st.sampled_from(["127.0.0.1", "", 80, 0, {"Passing": 1}, ["sni=a"], {"sni": "x"}])
SERVICES = st.dictionaries(st.sampled_from(["ID", "Tags", "Address", "Meta", "Port", "Weights"]), VALUES)
ENTRIES = st.fixed_dictionaries(
    {}, optional={"Node": JSON | st.just({"Address": "127.0.0.1"}), "Service": JSON | SERVICES, "Checks": JSON}
)


@given(st.lists(ENTRIES) | JSON)
def test_whatever_json_comes_every_entry_is_a_backend_or_skipped_or_the_answer_fails(body: Any) -> None:
    try:
        found = asyncio.run(_read(body))
    except DiscoveryError:
        return
    assert len(found.specs) + len(found.skipped) == len(body)
    for spec in found.specs:
        assert 1 <= spec.port <= 65535 or spec.host.startswith("unix:")
        assert isinstance(spec.host, str)
        assert isinstance(spec.sni, str)


@given(st.text())
def test_whatever_text_comes_it_is_read_or_fails(text: str) -> None:
    try:
        asyncio.run(_read(text))
    except DiscoveryError:
        return
    assert isinstance(json.loads(text), list)
