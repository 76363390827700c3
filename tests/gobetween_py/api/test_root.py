"""About the process: what it is, whether it is ready, its config, reloading."""

import os
import tomllib
from datetime import datetime
from pathlib import Path

from gobetween_py import __version__
from gobetween_py.config import load
from gobetween_py.sources.contract import Reading
from gobetween_py.sources.file import FileSource
from tests.gobetween_py.running import API, Echo, Running, server


def source_of(folder: Path, text: str) -> FileSource:
    file = folder / "lb.toml"
    file.write_text(text)
    return FileSource(file, Reading())


async def test_the_process_tells_what_gobetween_tells(tmp_path: Path) -> None:
    source = source_of(tmp_path, API)
    async with Running(API, source=source) as running:
        about = await running.get("/")
    assert [*about] == ["pid", "time", "startTime", "uptime", "version", "configuration"]
    assert (about["pid"], about["version"]) == (os.getpid(), __version__)
    assert about["configuration"] == {"kind": "file", "path": str(tmp_path / "lb.toml")}
    assert datetime.fromisoformat(about["startTime"]) <= datetime.fromisoformat(about["time"])
    assert about["uptime"].endswith("s")


async def test_the_config_is_dumped_in_both_formats_and_can_be_loaded_again() -> None:
    config = API + server("web", "127.0.0.1:1 weight=2", "[::1]:2", extra='access = { rules = ["deny 10.0.0.0/8"] }')
    async with Running(config + server('"my db"')) as running:
        toml, json = await running.get("/dump"), await running.get("/dump?format=json")
        assert tomllib.loads(toml) == json
        assert toml == await running.get("/dump?format=toml")
        assert load(toml).servers == running.app.config.servers


async def test_the_dump_has_what_was_changed_since_the_start() -> None:
    async with Running(API + server("web")) as running:
        await running.call("DELETE", "/servers/web")
        assert "web" not in await running.get("/dump")


async def test_it_is_ready_once_every_server_has_a_live_backend() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line) + server("db")) as running:
        reply = await running.call("GET", "/ready")
        assert (reply.status, reply.body) == (503, {"ready": False, "servers": {"db": "has no live backend"}})
        await running.call("POST", "/servers/db/backends", {"host": "127.0.0.1", "port": backend.port})
        assert await running.get("/ready") == {"ready": True, "servers": {}}
        await running.call("PATCH", f"/servers/web/backends/{backend.line}", {"state": "maint"})
        assert (await running.call("GET", "/ready")).status == 503


async def test_without_servers_it_is_ready() -> None:
    async with Running(API) as running:
        assert await running.get("/ready") == {"ready": True, "servers": {}}


async def test_a_reload_applies_what_differs_and_says_what(tmp_path: Path) -> None:
    before = API + server("web") + server("old")
    source = source_of(tmp_path, before)
    async with Running(before, source=source) as running:
        source.path.write_text(API + server("web", extra='balance = "leastconn"') + server("new"))
        reply = await running.call("POST", "/reload")
        assert reply.status == 200
        assert reply.body["changes"] == {
            "added": ["new"],
            "changed": {"web": ["balance"]},
            "removed": ["old"],
            "sections": [],
        }
        assert [*await running.get("/servers")] == ["web", "new"]


async def test_a_reload_of_a_bad_config_changes_nothing_and_says_why(tmp_path: Path) -> None:
    source = source_of(tmp_path, API + server("web"))
    async with Running(API + server("web"), source=source) as running:
        source.path.write_text(API + server("web", extra='balance = "wieght"\ncolour = 1'))
        reply = await running.call("POST", "/reload")
        assert (reply.status, reply.body["error"]) == (422, "nothing was changed")
        unknown, wrong = reply.body["problems"]
        assert (unknown["path"], unknown["reason"]) == ("servers.web.colour", "unknown key")
        assert "balance" in unknown["allowed"]
        assert (wrong["path"], wrong["value"]) == ("servers.web.balance", "'wieght'")
        assert wrong["hint"] == "did you mean 'weight'?"
        assert [*await running.get("/servers")] == ["web"]
        source.path.write_text(API + server("web"))
        await running.call("POST", "/reload")
        told = await running.get("/reload")
        assert (told["succeeded"], told["failed"]) == (1, 1)
        assert [bool(one["errors"]) for one in told["latest"]] == [True, False]
        assert [error.partition(":")[0] for error in told["latest"][0]["errors"]] == [unknown["path"], wrong["path"]]
        assert told["latest"][0]["cause"] == "API"


async def test_without_a_file_there_is_nothing_to_reload() -> None:
    async with Running(API) as running:
        reply = await running.call("POST", "/reload")
        assert reply.status == 422
        assert "no file, URL or key" in reply.body["problems"][0]["reason"]
