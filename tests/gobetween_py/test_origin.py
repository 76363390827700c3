"""Reloads after changes by hand: what stays of them, what is told of them."""

from pathlib import Path

import pytest

from gobetween_py.config import load
from gobetween_py.sources.contract import Reading
from gobetween_py.sources.file import FileSource
from tests.gobetween_py.running import API, Echo, Running, exchange, server

NOTHING = {"added": [], "changed": {}, "removed": [], "sections": []}
TABLE = {"bind": "127.0.0.1:0", "discovery": {"kind": "static", "static_list": []}}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lb.toml"


def running(file: Path, text: str) -> Running:
    """A balancer with the config in a file."""
    file.write_text(text)
    return Running(text, source=FileSource(file, Reading()))


async def test_a_server_made_over_the_api_survives_a_reload_with_its_connections(file: Path) -> None:
    async with Echo() as backend, running(file, API + server("web")) as run:
        static = {"kind": "static", "static_list": [backend.line]}
        await run.call("POST", "/servers/new", {"bind": "127.0.0.1:0", "discovery": static})
        client = await run.connect("new")
        await exchange(*client)
        file.write_text(API + server("web", extra='balance = "leastconn"'))
        reply = await run.call("POST", "/reload")
        assert reply.body["changes"] == NOTHING | {"changed": {"web": ["balance"]}}
        assert reply.body["by_hand"] == {"kept": ["new"], "dropped": []}
        await exchange(*client)
        assert [*await run.get("/servers")] == ["web", "new"]
        client[1].close()


async def test_it_is_told_what_stands_in_no_config(file: Path) -> None:
    async with running(file, API + server("web") + server("db") + server("old")) as run:
        assert (await run.get("/reload"))["unsaved"] == NOTHING
        await run.call("POST", "/servers/new", TABLE)
        await run.call("DELETE", "/servers/old")
        await run.call("PUT", "/servers/db", TABLE | {"balance": "leastconn"})
        await run.call("POST", "/servers/web/backends", {"host": "10.0.0.1", "port": 80})
        unsaved = {
            "added": ["new"],
            "changed": {"web": ["backends"], "db": ["balance", "shutdown_timeout"]},
            "removed": ["old"],
            "sections": [],
        }
        assert (await run.get("/reload"))["unsaved"] == unsaved
        reply = await run.call("POST", "/reload")
        assert reply.body["changes"] == NOTHING
        assert reply.body["by_hand"] == {"kept": ["web", "db", "old", "new"], "dropped": []}
        assert (await run.get("/reload"))["unsaved"] == unsaved


async def test_what_the_config_says_otherwise_now_is_dropped_and_logged(
    file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running(file, API + server("web")) as run:
        await run.call("PUT", "/servers/web", TABLE | {"balance": "leastconn"})
        file.write_text(API + server("web", extra='balance = "iphash"'))
        reply = await run.call("POST", "/reload")
        assert reply.body["by_hand"] == {"kept": [], "dropped": ["web"]}
        assert (await run.get("/servers/web"))["balance"] == "iphash"
    assert "API: servers.web: what was changed by hand is dropped" in caplog.messages


async def test_on_request_a_reload_goes_back_to_the_config(file: Path) -> None:
    text = API + server("web", "127.0.0.1:1")
    async with running(file, text) as run:
        await run.call("POST", "/servers/new", TABLE)
        await run.call("PATCH", "/servers/web/backends/127.0.0.1:1", {"state": "drain"})
        reply = await run.call("POST", "/reload?discard=true")
        assert reply.body["by_hand"] == {"kept": [], "dropped": ["web", "new"]}
        assert run.app.config == load(text)
        assert (await run.get("/servers/web/backends/127.0.0.1:1"))["state"] == "ready"


async def test_a_server_made_by_hand_on_an_address_of_the_new_config_is_in_the_way(file: Path) -> None:
    async with running(file, API + server("web")) as run:
        await run.call("POST", "/servers/new", TABLE)
        port = run.app.servers["new"].port
        await run.call("PUT", "/servers/new", TABLE | {"bind": f"127.0.0.1:{port}"})
        file.write_text(API + server("web").replace(":0", f":{port}"))
        reply = await run.call("POST", "/reload")
        assert reply.status == 422
        assert "servers.new.bind" in reply.body["problems"][0]["reason"]
        assert [*await run.get("/servers")] == ["web", "new"]
        await run.call("DELETE", "/servers/new")
        assert (await run.call("POST", "/reload")).status == 200


async def test_what_is_written_into_the_config_is_unsaved_no_more(file: Path) -> None:
    text = API + "persist = true\n" + server("web", "127.0.0.1:1")
    async with running(file, text) as run:
        await run.call("POST", "/servers/new", TABLE)
        await run.call("PATCH", "/servers/web/backends/127.0.0.1:1", {"state": "drain"})
        assert (await run.get("/reload"))["unsaved"] == NOTHING
        reply = await run.call("POST", "/reload")
        assert (reply.body["changes"], reply.body["by_hand"]) == (NOTHING, {"kept": [], "dropped": []})
        file.write_text(text)
        reply = await run.call("POST", "/reload")
        assert reply.body["changes"] == NOTHING | {"changed": {"web": ["backends"]}, "removed": ["new"]}


async def test_a_server_that_was_made_before_persist_is_written_as_a_whole(file: Path) -> None:
    """When something is set about its backends: that alone would be no config."""
    text = API + server("web")
    async with running(file, text) as run:
        await run.call("POST", "/servers/new", TABLE)
        file.write_text(text.replace("enabled = true", "enabled = true\npersist = true"))
        await run.call("POST", "/reload")
        reply = await run.call("POST", "/servers/new/backends", {"host": "10.0.0.1", "port": 80})
        assert reply.status == 201
        assert (await run.get("/reload"))["unsaved"] == NOTHING
        assert load(file.read_text()) == run.app.config


async def test_a_drain_that_a_reload_calls_off_ends_nothing(file: Path) -> None:
    """Its deadline does not outlive it."""
    async with Echo() as backend:
        text = API + server("web", backend.line)
        async with running(file, text) as run:
            client = await run.connect()
            await exchange(*client)
            change = {"state": "drain", "deadline": "200ms"}
            assert (await run.call("PATCH", f"/servers/web/backends/{backend.line}", change)).body["closes_at"]
            await run.call("POST", "/reload?discard=true")
            listed = await run.get(f"/servers/web/backends/{backend.line}")
            assert (listed["state"], listed["closes_at"]) == ("ready", None)
            await run.until(lambda: not run.web.edits._deadlines)
            await exchange(*client)
            client[1].close()
