"""Servers over the API: gobetween's requests, their statuses, and what is left after they failed."""

import asyncio
import json
from base64 import b64encode
from pathlib import Path
from urllib.parse import quote

import pytest

from gobetween_py.config import load
from gobetween_py.sources.contract import Reading
from gobetween_py.sources.file import FileSource
from tests.gobetween_py.running import API, Echo, Running, exchange, server
from tests.services.ports import free_port

PASSWORD = "hunter2-hunter2"


def table(port: int, *backends: str, **keys: object) -> dict[str, object]:
    return {"bind": f"127.0.0.1:{port}", "discovery": {"kind": "static", "static_list": backends}, **keys}


async def test_all_servers_are_listed_with_their_config() -> None:
    async with Running(API + server("web", "127.0.0.1:1") + server("db", extra='balance = "leastconn"')) as running:
        listed = await running.get("/servers")
        assert [*listed] == ["web", "db"]
        assert listed["db"]["balance"] == "leastconn"
        assert listed["web"] == await running.get("/servers/web")
        assert listed["web"]["discovery"]["static_list"] == ["127.0.0.1:1"]


async def test_a_server_that_is_not_there_is_404_whatever_is_asked() -> None:
    async with Running(API) as running:
        asked = [("GET", ""), ("DELETE", ""), ("GET", "/stats"), ("GET", "/backends"), ("GET", "/connections")]
        asked += [("DELETE", "/connections"), ("DELETE", "/connections/1-1"), ("GET", "/backends/a:1")]
        for method, path in asked:
            reply = await running.call(method, f"/servers/none{path}")
            assert (reply.status, reply.body) == (404, {"error": "there is no server 'none'"}), path
        for method, path, body in [("PUT", "", table(1)), ("POST", "/backends", {"host": "a", "port": 1})]:
            assert (await running.call(method, f"/servers/none{path}", body)).status == 404, path


async def test_a_server_is_made_serves_and_is_gone_again() -> None:
    async with Echo() as backend, Running(API) as running:
        port = free_port()
        reply = await running.call("POST", "/servers/new", table(port, backend.line))
        assert (reply.status, reply.body) == (200, None)
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        await exchange(reader, writer)
        writer.close()
        reply = await running.call("DELETE", "/servers/new")
        assert (reply.status, reply.body) == (200, None)
        assert await running.get("/servers") == {}
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_the_type_of_a_body_is_not_asked_for() -> None:
    """curl -d says that it sends a form."""
    async with Running(API) as running:
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        body = json.dumps(table(free_port())).encode()
        assert (await running.call("POST", "/servers/new", body, headers=headers)).status == 200


async def test_defaults_of_the_config_fill_in_what_a_new_server_does_not_say() -> None:
    async with Running('[defaults]\nclient_idle_timeout = "7s"\n' + API) as running:
        await running.call("POST", "/servers/new", table(free_port()))
        assert (await running.get("/servers/new"))["client_idle_timeout"] == "7s"


async def test_everything_that_is_wrong_with_a_server_is_told_at_once() -> None:
    async with Running(API) as running:
        body = {"bind": "nowhere", "balance": "wieght", "colour": 5, "discovery": {"kind": "static"}}
        reply = await running.call("POST", "/servers/new", body)
        assert reply.status == 422
        assert {problem["path"].removeprefix("servers.new.") for problem in reply.body["problems"]} == {
            "bind",
            "balance",
            "colour",
            "discovery.static_list",
        }
        hints = [problem.get("hint") for problem in reply.body["problems"]]
        assert "did you mean 'weight'?" in hints
        assert await running.get("/servers") == {}


async def test_a_name_or_an_address_that_is_taken_is_409() -> None:
    async with Running(API) as running:
        port = free_port()
        assert (await running.call("POST", "/servers/one", table(port))).status == 200
        again = await running.call("POST", "/servers/one", table(free_port()))
        assert (again.status, again.body["error"]) == (409, "servers.one: there is a server of that name already")
        other = await running.call("POST", "/servers/two", table(port))
        assert other.status == 409
        assert f"'127.0.0.1:{port}' is taken: servers.one.bind" in other.body["error"]


async def test_an_address_that_another_program_has_is_409_with_the_remedy() -> None:
    async with Echo() as other, Running(API) as running:
        reply = await running.call("POST", "/servers/new", table(other.port))
        assert reply.status == 409
        assert "the port is in use" in reply.body["error"]
        assert await running.get("/servers") == {}


async def test_a_server_is_changed_in_place_and_its_connections_stay() -> None:
    async with Echo() as one, Echo() as other, Running(API) as running:
        port = free_port()
        await running.call("POST", "/servers/web", table(port, one.line))
        reader, writer = await running.connect()
        await exchange(reader, writer)
        reply = await running.call("PUT", "/servers/web", table(port, other.line, balance="roundrobin"))
        assert (reply.status, reply.body) == (200, None)
        await exchange(reader, writer)
        stats = await running.get("/servers/web/stats")
        assert stats["active_connections"] == 1
        assert {b["port"]: b["stats"]["discovered"] for b in stats["backends"]} == {
            str(one.port): False,
            str(other.port): True,
        }
        assert (await running.get("/servers/web"))["balance"] == "roundrobin"
        writer.close()


async def test_a_change_to_an_address_that_is_taken_is_409_and_says_by_whom() -> None:
    async with Running(API) as running:
        one, two = free_port(), free_port()
        await running.call("POST", "/servers/one", table(one))
        await running.call("POST", "/servers/two", table(two))
        reply = await running.call("PUT", "/servers/one", table(two))
        assert (reply.status, reply.body["error"]) == (
            409,
            f"servers.one.bind: '127.0.0.1:{two}' is taken: servers.two.bind is '127.0.0.1:{two}'",
        )
        assert [*await running.get("/servers")] == ["one", "two"]


async def test_a_change_that_is_wrong_changes_nothing() -> None:
    async with Running(API + server("web", "127.0.0.1:1")) as running:
        before = await running.get("/servers/web")
        assert (await running.call("PUT", "/servers/web", table(free_port(), balance="none"))).status == 422
        assert (await running.call("PUT", "/servers/web", [])).status == 422
        assert await running.get("/servers/web") == before


async def test_a_change_that_was_meant_for_another_state_is_refused() -> None:
    """Two people who edit the same server: the second one is told."""
    async with Running(API) as running:
        port = free_port()
        await running.call("POST", "/servers/web", table(port))
        tag = (await running.call("GET", "/servers/web")).headers["ETag"]
        first = await running.call("PUT", "/servers/web", table(port, balance="leastconn"), headers={"If-Match": tag})
        assert first.status == 200
        second = await running.call("PUT", "/servers/web", table(port), headers={"If-Match": tag})
        assert (second.status, second.body["error"]) == (412, "server 'web' has been changed meanwhile")
        assert (await running.call("DELETE", "/servers/web", headers={"If-Match": tag})).status == 412
        third = await running.call("PUT", "/servers/web", table(port), headers={"If-Match": first.headers["ETag"]})
        assert third.status == 200
        assert (await running.call("DELETE", "/servers/web", headers={"If-Match": "*"})).status == 200


async def test_of_many_edits_at_once_each_is_whole() -> None:
    async with Running(API) as running:
        ports = [free_port() for _ in range(6)]
        same = [running.call("POST", "/servers/one", table(port)) for port in ports]
        others = [running.call("POST", f"/servers/s{port}", table(port)) for port in ports]
        statuses = [reply.status for reply in await asyncio.gather(*same, *others)]
        assert statuses.count(200) == len(ports)  # one of each port got it
        assert statuses.count(409) == len(ports)
        listed = await running.get("/servers")
        assert len(listed) == len(ports)
        assert len({each["bind"] for each in listed.values()}) == len(ports)


async def test_a_change_is_carried_through_when_its_client_leaves() -> None:
    async with Running(API) as running:
        slow = {"kind": "exec", "exec_command": ["sleep", "0.5"]}
        body = json.dumps({**table(free_port()), "discovery": slow}).encode()
        _, writer = await asyncio.open_connection("127.0.0.1", running.port)
        head = f"POST /servers/slow HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        await running.until(lambda: "slow" in running.app.servers)
        writer.transport.abort()
        await running.until(lambda: running.app.servers["slow"].listener is not None)
        assert (await running.call("PUT", "/servers/slow", table(free_port()))).status == 200


@pytest.mark.parametrize(
    "name", ["my web", "ünïcode", "a/b", "a%b", "a.b", '"quoted"', "<b>", "..%2f..", "%", "?", "#"]
)
async def test_odd_names_are_names(name: str) -> None:
    async with Running(API) as running:
        path = f"/servers/{quote(name, safe='')}"
        assert (await running.call("POST", path, table(free_port()))).status == 200
        assert [*(await running.get("/servers"))] == [name]
        assert (await running.call("GET", f"{path}/stats")).status == 200
        dumped = await running.get("/dump")
        assert [*load(dumped).servers] == [name]
        assert (await running.call("DELETE", path)).status == 200


@pytest.mark.parametrize("name", ["a\nb", "a\0", "x" * 256])
async def test_names_that_would_spoil_logs_are_refused(name: str) -> None:
    async with Running(API) as running:
        reply = await running.call("POST", f"/servers/{quote(name, safe='')}", table(free_port()))
        assert reply.status in (400, 422)
        assert await running.get("/servers") == {}


@pytest.mark.parametrize("name", [".", "..", "%2e%2E"])
async def test_names_that_clients_take_for_folders_are_refused(name: str) -> None:
    """Most of them would turn /servers/../stats into /stats."""
    body = json.dumps(table(free_port())).encode()
    async with Running(API) as running:
        reader, writer = await asyncio.open_connection("127.0.0.1", running.port)
        head = f"POST /servers/{name} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        writer.write(head.encode() + body)
        assert (await reader.read()).startswith(b"HTTP/1.1 422 ")
        writer.close()
        assert await running.get("/servers") == {}


async def test_secrets_are_shown_nowhere() -> None:
    discovery = {"kind": "json", "json_endpoint": f"http://me:{PASSWORD}@127.0.0.1:1/", "interval": "1h"}
    config = f'{API}[api.basic_auth]\nlogin = "admin"\npassword = "{PASSWORD}"\n'
    async with Running(config) as running:
        headers = {"Authorization": "Basic " + b64encode(f"admin:{PASSWORD}".encode()).decode()}
        body = {"bind": f"127.0.0.1:{free_port()}", "discovery": discovery}
        assert (await running.call("POST", "/servers/web", body, headers=headers)).status == 200
        for path in ("/servers", "/servers/web", "/dump", "/dump?format=json", "/discovery", "/"):
            reply = await running.call("GET", path, headers=headers)
            assert reply.status == 200
            assert PASSWORD not in str(reply), path
        wrong = {**body, "discovery": {**discovery, "json_endpoint": f"ftp://me:{PASSWORD}@127.0.0.1/", "timeout": 5}}
        reply = await running.call("PUT", "/servers/web", wrong, headers=headers)
        assert reply.status == 422
        assert PASSWORD not in str(reply)


async def test_secrets_stay_when_what_is_shown_is_sent_back(tmp_path: Path) -> None:
    """In what runs, and in the file; but *** is no secret of a new server."""
    text = f"""
        {API}persist = true
        [servers.web]
        bind = "127.0.0.1:{free_port()}"
        [servers.web.discovery]
        kind = "json"
        json_endpoint = "http://me:{PASSWORD}@127.0.0.1:1/"
        json_auth_username = "me"
        json_auth_password = "{PASSWORD}"
        interval = "1h"
    """
    file = tmp_path / "lb.toml"
    file.write_text(text)
    async with Running(text, source=FileSource(file, Reading())) as running:
        before = running.app.config.servers["web"]
        shown = await running.get("/servers/web")
        assert (await running.call("PUT", "/servers/web", {**shown, "balance": "leastconn"})).status == 200
        assert running.web.config == before.model_copy(update={"balance": "leastconn"})
        assert load(file.read_text()).servers["web"] == running.web.config
        reply = await running.call("POST", "/servers/copy", {**shown, "bind": f"127.0.0.1:{free_port()}"})
        assert reply.status == 422
        assert [problem["path"] for problem in reply.body["problems"]] == [
            "servers.copy.discovery.json_endpoint",
            "servers.copy.discovery.json_auth_password",
        ]


async def test_of_two_who_change_the_same_state_at_once_one_is_told() -> None:
    async with Running(API) as running:
        port = free_port()
        await running.call("POST", "/servers/web", table(port))
        tag = (await running.call("GET", "/servers/web")).headers["ETag"]
        wanted = [table(port, balance=balance) for balance in ("leastconn", "roundrobin", "iphash")]
        changes = [running.call("PUT", "/servers/web", body, headers={"If-Match": tag}) for body in wanted]
        assert sorted(reply.status for reply in await asyncio.gather(*changes)) == [200, 412, 412]
