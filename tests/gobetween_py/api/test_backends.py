"""Backends by hand: added, changed, drained, removed; what discovery says later changes none of it."""

import asyncio
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from balancer import BackendSpec
from gobetween_py.config import load
from gobetween_py.sources.contract import Reading
from gobetween_py.sources.file import FileSource
from tests.gobetween_py.running import API, Echo, Running, exchange, is_cut, server

FOUND = "127.0.0.1:1"


async def listed(running: Running, query: str = "") -> dict[str, dict[str, Any]]:
    """The backends of `web`, by address."""
    found = (await running.get(f"/servers/web/backends{query}"))["backends"]
    return {backend["address"]: backend for backend in found}


async def discover(running: Running, *lines: str) -> None:
    """Discovery finds these now."""
    specs = [BackendSpec(host, int(port)) for host, _, port in (line.partition(":") for line in lines)]
    await running.web.supply.apply(specs)  # as its loop does with an answer


async def test_a_backend_is_listed_with_what_is_counted_and_what_is_set() -> None:
    async with Running(API + server("web", f"{FOUND} weight=3 priority=2 max_connections=9 sni=a.b")) as running:
        expected = {
            "address": FOUND,
            "host": "127.0.0.1",
            "port": "1",
            "weight": 3,
            "priority": 2,
            "max_connections": 9,
            "sni": "a.b",
            "manual": False,
            "state": "ready",
            "closes_at": None,
        }
        counts = ["live", "discovered", "total_connections", "active_connections", "refused_connections"]
        counts += ["rx", "tx", "rx_second", "tx_second"]
        backend = (await listed(running))[FOUND]
        assert [*backend.pop("stats")] == counts
        assert backend == expected
        assert (await running.get(f"/servers/web/backends/{FOUND}"))["address"] == FOUND


async def test_a_backend_added_by_hand_serves_and_outlives_what_discovery_finds() -> None:
    async with Echo() as backend, Running(API + server("web")) as running:
        body = {"host": "127.0.0.1", "port": backend.port, "weight": 5}
        reply = await running.call("POST", "/servers/web/backends", body)
        assert reply.status == 201
        assert (reply.body["address"], reply.body["weight"], reply.body["manual"]) == (backend.line, 5, True)
        await discover(running, FOUND)
        assert {address: one["manual"] for address, one in (await listed(running)).items()} == {
            FOUND: False,
            backend.line: True,
        }
        await discover(running)
        reader, writer = await running.connect()
        await exchange(reader, writer)
        writer.close()


async def test_a_backend_can_be_added_by_hand_once() -> None:
    async with Running(API + server("web", FOUND)) as running:
        body = {"host": "127.0.0.1", "port": "1"}
        assert (await running.call("POST", "/servers/web/backends", body)).status == 201  # found, but not by hand
        again = await running.call("POST", "/servers/web/backends", body)
        assert (again.status, again.body["error"]) == (
            409,
            f"backend {FOUND} of server 'web' was added by hand already",
        )


@pytest.mark.parametrize(
    ("body", "address"),
    [
        ({"host": "::1", "port": 80}, "[::1]:80"),
        ({"host": "[0::1]", "port": 80}, "[::1]:80"),
        ({"host": "db.local", "port": "5432"}, "db.local:5432"),
        ({"host": "unix:/run/a b.sock"}, "unix:/run/a b.sock"),
    ],
)
async def test_every_kind_of_address_can_be_added_found_and_removed(body: dict[str, object], address: str) -> None:
    async with Running(API + server("web")) as running:
        assert (await running.call("POST", "/servers/web/backends", body)).body["address"] == address
        path = f"/servers/web/backends/{quote(address, safe='')}"
        assert (await running.get(path))["address"] == address
        assert (await running.call("DELETE", path)).status == 200
        assert await listed(running) == {}


@pytest.mark.parametrize(
    ("body", "paths"),
    [
        ({}, ["host"]),
        ({"host": "a b", "port": 80}, ["host"]),
        ({"host": "unix:no/path"}, ["host"]),
        ({"host": "a", "port": 0}, ["port"]),
        ({"host": "a", "port": 80, "sni": "a b"}, ["sni"]),
        ({"host": "a", "port": 70000}, ["port"]),
        ({"host": "a", "port": 80, "weight": -1, "colour": 1, "state": "of"}, ["weight", "state", "colour"]),
        ([], [""]),
        (None, [""]),
        ("host", [""]),
    ],
)
async def test_a_backend_that_is_none_is_refused_with_everything_that_is_wrong(body: object, paths: list[str]) -> None:
    async with Running(API + server("web")) as running:
        reply = await running.call("POST", "/servers/web/backends", b"null" if body is None else body)
        assert reply.status == 422
        assert sorted(problem["path"] for problem in reply.body["problems"]) == sorted(paths)
        assert await listed(running) == {}


async def test_numbers_are_changed_and_taken_back_and_the_rest_stays() -> None:
    async with Running(API + server("web", f"{FOUND} weight=3")) as running:
        path = f"/servers/web/backends/{FOUND}"
        reply = await running.call("PATCH", path, {"weight": 7, "max_connections": 5, "sni": "x.y"})
        assert (reply.status, reply.body["weight"], reply.body["max_connections"], reply.body["sni"]) == (
            200,
            7,
            5,
            "x.y",
        )
        assert running.web.pool.backends[0].limit == 5
        reply = await running.call("PATCH", path, {"priority": 4})
        assert (reply.body["weight"], reply.body["priority"], reply.body["manual"]) == (7, 4, False)
        await discover(running, FOUND)
        assert (await listed(running))[FOUND]["weight"] == 7
        reply = await running.call("PATCH", path, {"proxy_protocol": "2"})
        assert (reply.body["sni"], reply.body["proxy_protocol"]) == ("x.y", "2")
        keys = ("weight", "priority", "max_connections", "sni", "proxy_protocol")
        reply = await running.call("PATCH", path, dict.fromkeys(keys))
        assert (reply.body["weight"], reply.body["priority"]) == (1, 1)  # what discovery said last
        assert running.web.supply.overlay.overrides == {}


async def test_a_drained_backend_keeps_its_connections_and_gets_no_new_ones() -> None:
    async with Echo() as one, Echo() as other, Running(API + server("web", one.line)) as running:
        reader, writer = await running.connect()
        await exchange(reader, writer)
        reply = await running.call("PATCH", f"/servers/web/backends/{one.line}", {"state": "drain"})
        assert (reply.body["state"], reply.body["closes_at"]) == ("drain", None)
        refused, _ = await running.connect()
        assert await refused.read() == b""
        await running.call("POST", "/servers/web/backends", {"host": "127.0.0.1", "port": other.port})
        for _ in range(4):
            new = await running.connect()
            await exchange(*new)
            new[1].close()
        await exchange(reader, writer, b"still here")
        await discover(running, one.line)
        assert (await listed(running, "?state=drain")).keys() == {one.line}
        await running.call("PATCH", f"/servers/web/backends/{one.line}", {"state": "ready"})
        assert (await listed(running, "?state=ready")).keys() == {one.line, other.line}
        assert not any(backend.held for backend in running.web.pool.backends)
        writer.close()


async def test_a_drain_ends_at_its_deadline() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running:
        reader, writer = await running.connect()
        await exchange(reader, writer)
        change = {"state": "drain", "deadline": "300ms"}
        reply = await running.call("PATCH", f"/servers/web/backends/{backend.line}", change)
        assert reply.body["closes_at"] > "2020"
        await exchange(reader, writer, b"not yet")
        assert await is_cut(reader)
        await running.until(lambda: running.web.edits.deadline(("127.0.0.1", backend.port)) is None)
        assert (await listed(running))[backend.line]["state"] == "drain"
        writer.close()


async def test_a_drain_that_is_called_off_ends_nothing() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running:
        reader, writer = await running.connect()
        await exchange(reader, writer)
        path = f"/servers/web/backends/{backend.line}"
        await running.call("PATCH", path, {"state": "drain", "deadline": "200ms"})
        await running.call("PATCH", path, {"state": "ready"})
        await asyncio.sleep(0.4)
        await exchange(reader, writer)
        writer.close()


async def test_maintenance_ends_the_connections_at_once() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running:
        reader, writer = await running.connect()
        await exchange(reader, writer)
        reply = await running.call("PATCH", f"/servers/web/backends/{backend.line}", {"state": "maint"})
        assert await is_cut(reader)
        assert (reply.body["state"], reply.body["stats"]["active_connections"]) == ("maint", 0)
        writer.close()


async def test_one_that_is_ready_again_gets_its_share_slowly_where_that_is_wanted() -> None:
    config = API + server("web", FOUND, extra='healthcheck = { slow_start = "10m" }')
    async with Running(config) as running:
        [backend] = running.web.pool.backends
        assert backend.share == 1.0
        for state, share in (("maint", 1.0), ("ready", 0.05)):
            await running.call("PATCH", f"/servers/web/backends/{FOUND}", {"state": state})
            assert (backend.held, backend.share) == (state == "maint", share)


async def test_what_comes_back_is_still_drained() -> None:
    """A backend that discovery did not find for a while is not new."""
    async with Running(API + server("web", FOUND)) as running:
        await running.call("PATCH", f"/servers/web/backends/{FOUND}", {"state": "drain"})
        await discover(running)
        assert await listed(running) == {}
        await discover(running, FOUND)
        assert (await listed(running))[FOUND]["state"] == "drain"
        assert running.web.pool.backends[0].held


async def test_a_removed_backend_is_gone_when_its_last_connection_is() -> None:
    async with Echo() as backend, Running(API + server("web")) as running:
        await running.call("POST", "/servers/web/backends", {"host": "127.0.0.1", "port": backend.port})
        reader, writer = await running.connect()
        await exchange(reader, writer)
        assert (await running.call("DELETE", f"/servers/web/backends/{backend.line}")).status == 200
        await exchange(reader, writer, b"to the end")
        assert (await listed(running))[backend.line]["stats"]["discovered"] is False
        assert (await running.call("DELETE", f"/servers/web/backends/{backend.line}?deadline=0")).status == 409
        writer.close()
        await running.until(lambda: not running.web.pool.backends)


async def test_a_backend_can_be_removed_with_its_connections() -> None:
    async with Echo() as backend, Running(API + server("web")) as running:
        await running.call("POST", "/servers/web/backends", {"host": "127.0.0.1", "port": backend.port})
        reader, writer = await running.connect()
        await exchange(reader, writer)
        assert (await running.call("DELETE", f"/servers/web/backends/{backend.line}?deadline=0")).status == 200
        assert await is_cut(reader)
        writer.close()


async def test_what_discovery_finds_cannot_be_removed_by_hand() -> None:
    async with Running(API + server("web", FOUND)) as running:
        reply = await running.call("DELETE", f"/servers/web/backends/{FOUND}")
        assert (reply.status, reply.body["error"]) == (
            409,
            "it was not added by hand: set its state to drain or maint instead",
        )


async def test_a_backend_that_is_not_there_is_404() -> None:
    async with Running(API + server("web", FOUND)) as running:
        for address in ("127.0.0.1:2", "nowhere", "a:b", "[::1", "unix:relative", "%00"):
            for method, body in (("GET", None), ("PATCH", {"weight": 1}), ("DELETE", None)):
                reply = await running.call(method, f"/servers/web/backends/{quote(address, safe='')}", body)
                assert reply.status in (400, 404), (method, address)


@pytest.mark.parametrize(
    "body",
    [
        {"weight": -1},
        {"weight": "3"},
        {"weight": 1.5},
        {"weight": True},
        {"state": "gone"},
        {"state": "ready", "deadline": "5s"},
        {"deadline": "5s"},
        {"state": "drain", "deadline": "soon"},
        {"sni": "a b"},
        {"host": "127.0.0.2"},
        [],
        7,
    ],
)
async def test_a_change_that_is_wrong_changes_nothing(body: object) -> None:
    async with Running(API + server("web", FOUND)) as running:
        before = await listed(running)
        assert (await running.call("PATCH", f"/servers/web/backends/{FOUND}", body)).status == 422
        assert await listed(running) == before


async def test_what_is_set_by_hand_stands_in_the_dump() -> None:
    async with Running(API + server("web", FOUND)) as running:
        await running.call("POST", "/servers/web/backends", {"host": "10.0.0.1", "port": 80, "weight": 5})
        await running.call("PATCH", f"/servers/web/backends/{FOUND}", {"state": "maint"})
        backends = load(await running.get("/dump")).servers["web"].backends
        assert {backend.address: (backend.manual, backend.state) for backend in backends} == {
            "10.0.0.1:80": (True, "ready"),
            FOUND: (False, "maint"),
        }


async def test_what_cannot_be_written_into_the_config_is_not_done(tmp_path: Path) -> None:
    text = f"{API}persist = true\n{server('web', FOUND)}"
    file = tmp_path / "lb.toml"
    file.write_text(text)
    async with Running(text, source=FileSource(file, Reading())) as running:
        await running.call("POST", "/servers/web/backends", {"host": "10.0.0.1", "port": 80})
        before = await listed(running)
        file.write_text("[servers.web")  # somebody is editing it
        for method, path, body in (
            ("POST", "/servers/web/backends", {"host": "10.0.0.2", "port": 80}),
            ("PATCH", f"/servers/web/backends/{FOUND}", {"state": "drain"}),
            ("DELETE", "/servers/web/backends/10.0.0.1:80", None),
        ):
            reply = await running.call(method, path, body)
            assert reply.status == 500
            assert reply.body["error"].startswith("nothing was changed: ")
        assert await listed(running) == before


async def test_of_two_changes_at_once_both_count() -> None:
    async with Running(API + server("web", FOUND)) as running:
        path = f"/servers/web/backends/{FOUND}"
        changes = [{"weight": 7}, {"priority": 3}, {"max_connections": 9}, {"sni": "a.b"}, {"state": "drain"}] * 3
        await asyncio.gather(*(running.call("PATCH", path, change) for change in changes))
        backend = await running.get(path)
        assert {key: backend[key] for change in changes for key in change} == {
            key: value for change in changes for key, value in change.items()
        }
        new = {"host": "10.0.0.1", "port": 80}
        replies = await asyncio.gather(*(running.call("POST", "/servers/web/backends", new) for _ in range(3)))
        assert sorted(reply.status for reply in replies) == [201, 409, 409]


async def test_backends_are_set_by_the_config_too() -> None:
    config = server("web", FOUND) + '[[servers.web.backends]]\naddress = "10.0.0.1:80"\nstate = "drain"\n'
    async with Running(API + config) as running:
        backends = await listed(running, "?manual=true")
        assert {address: backend["state"] for address, backend in backends.items()} == {"10.0.0.1:80": "drain"}


async def test_ten_thousand_backends_are_listed_and_nobody_waits_for_them() -> None:
    async with Running(API + server("web")) as running:
        await running.web.supply.apply([BackendSpec(f"10.0.{i // 250}.{i % 250}", 80) for i in range(10_000)])
        turns = 0
        asked = asyncio.create_task(running.call("GET", "/servers/web/backends"))
        while not asked.done():
            await asyncio.sleep(0)
            turns += 1
        assert len((await asked).body["backends"]) == 10_000
        assert turns > 100
