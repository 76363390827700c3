"""The API of the process: gobetween's requests replayed, TLS, UNIX sockets, what is written back, and schemathesis."""

import http.client
import json
import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import tomlkit
from hypothesis import HealthCheck, settings

from gobetween_py.api.openapi import document
from gobetween_py.config import Bind, load
from tests.integration.conftest import Serve
from tests.integration.reloads import eventually, reload
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

ROOT = Path(__file__).parents[2]


class WithApi(Balancer):
    """A balancer with an API on a port of its own, and servers."""

    def __init__(self, servers: str, *, api: str = "", bind: str | None = None) -> None:
        self.api_port = free_port()
        head = f'[api]\nenabled = true\nbind = "{bind or f"{LOOPBACK}:{self.api_port}"}"\n'
        super().__init__(f"{head}{api}{servers}")

    @property
    def api(self) -> JsonApi:
        return JsonApi(LOOPBACK, self.api_port)


def table(port: int, *backends: str) -> dict[str, Any]:
    """What gobetween's documentation posts: every key, null for what is not set."""
    return {
        "max_connections": 0,
        "client_idle_timeout": "10m",
        "backend_idle_timeout": "10m",
        "backend_connection_timeout": "5s",
        "bind": f"{LOOPBACK}:{port}",
        "protocol": "tcp",
        "balance": "weight",
        "sni": None,
        "tls": None,
        "backends_tls": None,
        "udp": None,
        "access": None,
        "proxy_protocol": None,
        "discovery": {
            "kind": "static",
            "failpolicy": "keeplast",
            "interval": "0",
            "timeout": "0",
            "static_list": [*backends],
        },
        "healthcheck": {
            "kind": "none",
            "interval": "0",
            "passes": 1,
            "fails": 1,
            "initial_status": None,
            "timeout": "0",
        },
    }


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


def static(name: str, port: int, lines: Sequence[str] = ()) -> str:
    return (
        f'[servers.{name}]\nbind = "{LOOPBACK}:{port}"\nshutdown_timeout = "0"\n'
        f'[servers.{name}.discovery]\nkind = "static"\nstatic_list = {json.dumps([*lines])}\n'
    )


def test_what_scripts_of_gobetween_do(serve: Serve, nginx: Nginx) -> None:
    """List, get, post, use, stats, dump in both formats, delete: requests and answers of gobetween 0.8.2."""
    first, second = free_port(), free_port()
    balancer = serve(WithApi(static("web", first, [f"{LOOPBACK}:{nginx.port} weight=2"])))
    api = balancer.api
    assert api.get("/ping") == "OK"
    about = api.get("/")
    assert {key: type(value) for key, value in about.items()} == {
        "pid": int,
        "time": str,
        "startTime": str,
        "uptime": str,
        "version": str,
        "configuration": dict,
    }
    assert about["pid"] == balancer.pid
    assert about["configuration"] == {"kind": "file", "path": str(balancer.config)}

    assert [*api.get("/servers")] == ["web"]
    assert api.post("/servers/copy", table(second, f"{LOOPBACK}:{nginx.port}")) is None
    assert [*api.get("/servers")] == ["web", "copy"]
    config = api.get("/servers/copy")
    posted = table(second, f"{LOOPBACK}:{nginx.port}")
    assert {key: config[key] for key in ("bind", "protocol", "balance", "client_idle_timeout", "max_connections")} == {
        key: posted[key] for key in ("bind", "protocol", "balance", "client_idle_timeout", "max_connections")
    }
    assert get(second, "/name") == nginx.label.encode()

    stats = api.get("/servers/copy/stats")
    [backend] = stats["backends"]
    assert {key: type(value) for key, value in stats.items()} == {
        **dict.fromkeys(("active_connections", "rx_total", "tx_total", "rx_second", "tx_second"), int),
        "backends": list,
    }
    assert {key: type(value) for key, value in backend.items()} == {
        "host": str,
        "port": str,
        "priority": int,
        "weight": int,
        "stats": dict,
    }
    assert {key: type(value) for key, value in backend["stats"].items()} == {
        **dict.fromkeys(("live", "discovered"), bool),
        **dict.fromkeys(("total_connections", "active_connections", "refused_connections"), int),
        **dict.fromkeys(("rx", "tx", "rx_second", "tx_second"), int),
    }
    assert backend["stats"]["total_connections"] == 1
    assert stats["rx_total"] == backend["stats"]["rx"] > len(nginx.label)

    toml, as_json = api.get("/dump"), api.get("/dump?format=json")
    assert load(toml) == load(json.dumps(as_json), "json")
    assert [*as_json["servers"]] == ["web", "copy"]
    assert {"logging", "api", "metrics", "defaults", "servers"} <= as_json.keys()

    assert api.request("DELETE", "/servers/copy") is None
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, second), 5)
    with pytest.raises(ApiError) as gone:
        api.get("/servers/copy")
    assert gone.value.status == 404


def test_a_config_that_was_got_can_be_posted_again(serve: Serve) -> None:
    balancer = serve(WithApi(static("web", free_port(), [f"{LOOPBACK}:1"])))
    config = balancer.api.get("/servers/web")
    balancer.api.post("/servers/copy", {**config, "bind": f"{LOOPBACK}:{free_port()}"})
    copy = balancer.api.get("/servers/copy")
    assert {**copy, "bind": config["bind"]} == config


def test_clients_have_to_show_a_certificate_where_the_config_says_so(serve: Serve, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    own, client = authority.issue("localhost"), authority.issue("admin")
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other").issue("admin")
    tls = (
        f'[api.tls]\ncert_path = "{own.certificate}"\nkey_path = "{own.key}"\nclient_ca_path = "{authority.ca}"\n'
        + static("web", free_port())
    )
    balancer = serve(WithApi(tls))
    assert JsonApi(LOOPBACK, balancer.api_port, tls=authority.context(client)).get("/servers").keys() == {"web"}
    for context in (authority.context(), authority.context(stranger)):
        with pytest.raises((ssl.SSLError, ConnectionError)):
            JsonApi(LOOPBACK, balancer.api_port, tls=context).get("/ping")
    with pytest.raises((ApiError, ConnectionError)):
        balancer.api.get("/ping")  # in clear


def test_a_certificate_that_is_none_is_one_line(tmp_path: Path) -> None:
    config = tmp_path / "lb.toml"
    config.write_text(
        f'[api]\nenabled = true\nbind = "{LOOPBACK}:{free_port()}"\n'
        f'[api.tls]\ncert_path = "{config}"\nkey_path = "{config}"\n' + static("web", free_port())
    )
    done = command("-c", config)
    assert done.returncode == 1
    assert done.stderr.startswith(f"pygobetween: api.tls.cert_path: {config}: is no certificate in PEM: convert it ")
    assert len(done.stderr.splitlines()) == 1


def test_a_renewed_certificate_is_used_without_a_restart(serve: Serve, tmp_path: Path) -> None:
    """But not one whose key is another's."""
    authority = Authority(tmp_path)
    own, new = authority.issue("localhost"), authority.issue("renewed", "localhost")
    tls = f'[api.tls]\ncert_path = "{own.certificate}"\nkey_path = "{own.key}"\n' + static("web", free_port())
    balancer = serve(WithApi(tls))

    def subject() -> str:
        with socket.create_connection((LOOPBACK, balancer.api_port), 10) as client:
            context = authority.context()
            with context.wrap_socket(client, server_hostname="localhost") as secured:
                return str(secured.getpeercert()["subject"])  # type: ignore[index]

    assert "renewed" not in subject()
    os.replace(new.certificate, own.certificate)
    eventually(lambda: "api.tls.key_path: " in balancer.log_text())
    assert "renewed" not in subject()
    os.replace(new.key, own.key)
    eventually(lambda: "api.tls: certificates loaded anew" in balancer.log_text())
    assert "renewed" in subject()


def test_a_port_that_is_taken_is_one_line_and_nothing_is_started(tmp_path: Path) -> None:
    config, free = tmp_path / "lb.toml", free_port()
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        config.write_text(f'[api]\nenabled = true\nbind = "{LOOPBACK}:{port}"\n' + static("web", free))
        done = command("-c", config)
    assert done.returncode == 1
    assert done.stderr.startswith(f"pygobetween: api.bind: cannot listen on {LOOPBACK}:{port}: the port is in use")
    socket.create_server((LOOPBACK, free)).close()


def test_an_api_that_is_open_to_everybody_is_warned_of(tmp_path: Path) -> None:
    config = tmp_path / "lb.toml"
    config.write_text('[api]\nenabled = true\nbind = ":8888"\n' + static("web", free_port()))
    done = command("check", "-c", config)
    assert done.returncode == 0
    assert done.stdout.startswith("warning: api.bind: anybody who reaches this address may change everything: set ")


def command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    whole = [sys.executable, "-m", "gobetween_py", *arguments]
    return subprocess.run(whole, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)


def test_a_unix_socket_is_for_its_owner(serve: Serve, tmp_path: Path) -> None:
    path = tmp_path / "api.sock"
    serve(WithApi(static("web", free_port()), bind=f"unix:{path}"))
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(path))
        client.sendall(b"GET /ping HTTP/1.0\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(4096), b""))
    assert answer.endswith(b"\r\n\r\nOK")
    assert path.stat().st_mode & 0o022 == 0


def test_what_the_api_changes_is_written_back_and_comments_stay(serve: Serve) -> None:
    servers = "# Ours.\n" + static("web", free_port(), [f"{LOOPBACK}:1"]).replace(
        "shutdown_timeout", "# Not long.\nshutdown_timeout"
    )
    balancer = serve(WithApi(servers, api="persist = true\n"))
    api, port = balancer.api, free_port()
    api.post("/servers/new", table(port, f"{LOOPBACK}:2"))
    api.post("/servers/web/backends", {"host": "10.0.0.1", "port": 80, "weight": 3})
    api.request("PATCH", f"/servers/web/backends/{LOOPBACK}:1", {"state": "drain"})
    text = balancer.config.read_text()
    assert "# Ours." in text
    assert "# Not long." in text
    config = load(text)
    assert config.servers["new"].bind.port == port
    assert {one.address: (one.manual, one.weight, one.state) for one in config.servers["web"].backends} == {
        "10.0.0.1:80": (True, 3, "ready"),
        f"{LOOPBACK}:1": (False, None, "drain"),
    }
    assert api.post("/reload")["changes"] == {"added": [], "changed": {}, "removed": [], "sections": []}
    balancer.restart()
    backends = {one["address"]: one["state"] for one in api.get("/servers/web/backends")["backends"]}
    assert backends == {"10.0.0.1:80": "ready", f"{LOOPBACK}:1": "drain"}
    api.request("DELETE", "/servers/new")
    api.request("DELETE", "/servers/web/backends/10.0.0.1:80")
    document_ = tomlkit.parse(balancer.config.read_text()).unwrap()
    assert [*document_["servers"]] == ["web"]
    assert [one["address"] for one in document_["servers"]["web"]["backends"]] == [f"{LOOPBACK}:1"]


def test_what_the_api_changes_outlives_hangups(serve: Serve, nginx: Nginx) -> None:
    """gobetween's scripts post servers; no edit of the file takes them away."""
    port = free_port()
    balancer = serve(WithApi(static("web", free_port())))
    balancer.api.post("/servers/copy", table(port, f"{LOOPBACK}:{nginx.port}"))
    text = balancer.config.read_text()
    for balance in ("leastconn", "iphash"):
        reload(balancer, text.replace("[servers.web]", f'[servers.web]\nbalance = "{balance}"'))
        assert balancer.api.get("/servers/web")["balance"] == balance
        assert get(port, "/name") == nginx.label.encode()
    assert "SIGHUP: servers.copy: what was changed by hand stays" in balancer.log_text()


def test_a_secret_that_comes_over_the_api_is_masked_in_the_log(serve: Serve) -> None:
    """Wherever it stands, here as the name of a server; and while the server ends."""
    balancer = serve(WithApi(static("web", free_port())))
    discovery = {"kind": "json", "json_endpoint": f"http://{LOOPBACK}:1/", "json_auth_password": "hunter2-hunter2"}
    body = {"bind": f"{LOOPBACK}:{free_port()}", "discovery": {**discovery, "json_auth_username": "me"}}
    balancer.api.post("/servers/hunter2-hunter2", body)
    balancer.api.request("DELETE", "/servers/hunter2-hunter2")
    eventually(lambda: "***: ended" in balancer.log_text())
    assert "changed by hand: added ***" in balancer.log_text()
    assert "hunter2" not in balancer.log_text()


def test_what_cannot_be_written_back_is_not_changed(serve: Serve) -> None:
    balancer = serve(WithApi(static("web", free_port()), api="persist = true\n"))
    balancer.config.write_text("[servers.web\n")  # somebody is editing it
    with pytest.raises(ApiError) as refused:
        balancer.api.post("/servers/new", table(free_port()))
    assert refused.value.status == 500
    assert "nothing was changed" in refused.value.body
    assert [*balancer.api.get("/servers")] == ["web"]


def test_the_api_moves_to_another_address_by_a_reload_that_it_was_asked_for(serve: Serve) -> None:
    balancer = serve(WithApi(static("web", free_port())))
    old, new = balancer.api_port, free_port()
    balancer.config.write_text(balancer.config.read_text().replace(f":{old}", f":{new}", 1))
    assert balancer.api.post("/reload")["changes"]["sections"] == ["api"]
    balancer.api_port = new
    assert balancer.api.get("/ping") == "OK"


# schemathesis


@pytest.fixture(scope="module")
def fuzzed() -> Iterator[WithApi]:
    """The one balancer that schemathesis asks."""
    with WithApi(static("web", free_port(), [f"{LOOPBACK}:1"])) as balancer:
        yield balancer


@schemathesis.hook
def map_path_parameters(context: schemathesis.HookContext, path_parameters: dict[str, Any]) -> dict[str, Any]:
    """Half of the names are those of something that is there, but where it would be deleted for good."""
    operation = context.operation
    if path_parameters and (operation.method.upper(), operation.path) != ("DELETE", "/servers/{name}"):
        for key, known in (("name", "web"), ("address", f"{LOOPBACK}:1")):
            if len(str(path_parameters.get(key, ""))) % 2:
                path_parameters[key] = known
    return path_parameters


@schemathesis.hook
def map_body(context: schemathesis.HookContext, body: Any) -> Any:
    """Random configs run no programs, ask nobody, write no files, and listen on loopback alone.

    What is wrong with one stays wrong; one that would do such a thing is made wrong.
    """
    if not isinstance(body, dict) or context.operation.path != "/servers/{name}":
        return body
    body = dict(body)
    with suppress(ValueError):
        body["bind"] = f"{LOOPBACK}:0" if Bind.parse(body.get("bind")) else None
    for key, harmless in (("discovery", {"static"}), ("healthcheck", {"ping", "none"})):
        if isinstance(body.get(key), dict) and body[key].get("kind", "none") not in harmless:
            body[key] = {"kind": "never"}
    if isinstance(body.get("access_log"), dict) and body["access_log"].get("output"):
        body["access_log"] = {"enabled": "never"}
    return body


described = schemathesis.openapi.from_dict(document())


@described.parametrize()
@settings(max_examples=30, deadline=None, derandomize=True, suppress_health_check=[*HealthCheck])
def test_schemathesis_finds_nothing(case: schemathesis.Case, fuzzed: WithApi) -> None:
    """Right and wrong requests alike get a status, type and body that the description has, and never a 500."""
    case.call_and_validate(
        base_url=f"http://{LOOPBACK}:{fuzzed.api_port}",
        timeout=60,
        # Not every rule of a config can be said in a schema: what fits it may still be refused.
        excluded_checks=[schemathesis.checks.positive_data_acceptance],
    )


def test_after_all_that_it_serves_still(fuzzed: WithApi) -> None:
    assert fuzzed.api.get("/ping") == "OK"
    assert "web" in fuzzed.api.get("/servers")
