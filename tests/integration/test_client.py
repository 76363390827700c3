"""The commands for the shell, as a user calls them, against a balancer that runs."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_traffic import fetch
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

ROOT = Path(__file__).parents[2]
PASSWORD = "correct horse"
BASIC = f'[api.basic_auth]\nlogin = "admin"\npassword = "{PASSWORD}"\n'


def balancer_with(api: str, *backends: str, more: str = "") -> Balancer:
    """A balancer with one server, `web`, before these backends; `api` is what follows `[api]`."""
    port = free_port()
    balancer = Balancer(
        f'[api]\nenabled = true\n{api}\n[servers.web]\nbind = "{LOOPBACK}:{port}"\nshutdown_timeout = "1s"\n'
        f'[servers.web.discovery]\nkind = "static"\nstatic_list = {json.dumps(backends)}\n{more}'
    )
    balancer.port = port
    return balancer


class Shell:
    """Calls commands."""

    def __init__(self, address: str, variables: Mapping[str, str] | None = None) -> None:
        self.variables = {"PYGOBETWEEN_API": address, **(variables or {})}

    def run(self, *arguments: str | Path) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "gobetween_py", *map(str, arguments)]
        environment = {key: value for key, value in os.environ.items() if not key.startswith("PYGOBETWEEN_")}
        return subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=60,
            cwd=ROOT,
            check=False,
            env={**environment, **self.variables},
        )

    def good(self, *arguments: str | Path) -> str:
        done = self.run(*arguments)
        assert done.returncode == 0, done.stderr
        assert done.stderr == ""
        return done.stdout

    def answer(self, *arguments: str | Path) -> object:
        return json.loads(self.good(*arguments, "--json"))


@pytest.fixture
def line(nginx: Nginx) -> str:
    return f"{LOOPBACK}:{nginx.port}"


@pytest.fixture
def served(serve: Serve, line: str) -> tuple[Shell, Balancer]:
    port = free_port()
    balancer = serve(balancer_with(f'bind = "{LOOPBACK}:{port}"\n', line, f"{LOOPBACK}:1 weight=0"))
    return Shell(f"http://{LOOPBACK}:{port}"), balancer


def test_status_says_what_runs_and_whether_it_is_ready(served: tuple[Shell, Balancer]):
    shell, balancer = served
    told = shell.good("status")
    assert f"pid {balancer.pid}, up " in told
    assert f"config: file {balancer.config}" in told
    assert told.endswith("ready\n")
    assert shell.answer("status")["ready"] is True


def test_status_fails_where_a_server_has_no_live_backend(serve: Serve):
    port = free_port()
    serve(balancer_with(f'bind = "{LOOPBACK}:{port}"\n'))
    done = Shell(f"http://{LOOPBACK}:{port}").run("status")
    assert done.returncode == 1
    assert "web: has no live backend" in done.stdout


def test_servers_and_backends_are_listed_with_their_figures(served: tuple[Shell, Balancer], line: str):
    shell, balancer = served
    for _ in range(3):
        fetch(balancer.port, "/name")
    [row] = [row.split() for row in shell.good("servers").splitlines() if row.startswith("web")]
    assert row[:8] == ["web", f"{LOOPBACK}:{balancer.port}", "tcp", "weight", "static", "2", "2", "0"]
    [row] = [row.split() for row in shell.good("backends").splitlines() if row.startswith(line)]
    assert row[:9] == [line, "ready", "up", "found", "1", "1", "0", "3", "0"]
    assert [each["address"] for each in shell.answer("backends", "web")["web"]] == [f"{LOOPBACK}:1", line]
    assert shell.answer("servers")[0]["rx_total"] > 0


def test_a_drained_backend_gets_no_connections_until_it_is_ready_again(served: tuple[Shell, Balancer], line: str):
    shell, balancer = served
    assert shell.good("drain", "web", line) == f"{line}: drain, 0 open connections\n"
    with socket.create_connection((LOOPBACK, balancer.port), 10) as client:
        client.settimeout(10)
        assert client.recv(1) == b""  # the other backend is none
    assert shell.good("ready", "web", line) == f"{line}: ready, 0 open connections\n"
    assert fetch(balancer.port, "/name") == b"nginx"
    assert shell.good("maint", "web", line, f"{LOOPBACK}:1").splitlines() == [
        f"{line}: maint, 0 open connections",
        f"{LOOPBACK}:1: maint, 0 open connections",
    ]


def test_waiting_for_a_drain_ends_with_its_last_connection(served: tuple[Shell, Balancer], line: str):
    shell, balancer = served
    with socket.create_connection((LOOPBACK, balancer.port), 10) as client:
        client.sendall(b"GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.1 "
        told: list[str] = []
        waiting = threading.Thread(target=lambda: told.append(shell.good("drain", "web", line, "--wait")))
        waiting.start()
        waiting.join(2)
        assert waiting.is_alive()
        connections = shell.answer("connections", "web")["connections"]
        assert [each["backend"] for each in connections] == [line]
        assert "{}:{}".format(*client.getsockname()) in shell.good("connections", "web")
    waiting.join(30)
    assert told == [f"{line}: drain, 0 open connections\n"]


def test_a_drain_with_a_deadline_closes_what_is_left(served: tuple[Shell, Balancer], line: str):
    shell, balancer = served
    with socket.create_connection((LOOPBACK, balancer.port), 10) as client:
        client.sendall(b"GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.1 "
        told = shell.good("drain", "web", line, "--deadline", "1s", "--wait")
        assert told.startswith(f"{line}: drain, 0 open connections")
        client.settimeout(10)
        with pytest.raises(ConnectionResetError):
            read_to_the_end(client)


def read_to_the_end(client: socket.socket) -> None:
    while client.recv(1000):
        pass


def test_a_reload_says_what_it_changed_or_what_is_wrong(served: tuple[Shell, Balancer]):
    shell, balancer = served
    assert shell.good("reload") == "nothing changed\n"
    text = balancer.config.read_text()
    balancer.config.write_text(text.replace("[servers.web]", '[servers.web]\nbalance = "leastconn"'))
    assert shell.good("reload") == "changed web: balance\n"
    balancer.config.write_text(text.replace("[servers.web]", '[servers.web]\nbalance = "least"\nbnid = 1'))
    done = shell.run("reload")
    assert done.returncode == 1
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert lines[0] == "pygobetween: nothing was changed"
    assert [line.split(": ")[0] for line in lines[1:]] == ["servers.web.bnid", "servers.web.balance"]


def test_a_drained_backend_stays_so_through_reloads_until_they_are_to_discard_it(
    served: tuple[Shell, Balancer], line: str
):
    shell, balancer = served
    shell.good("drain", "web", line)
    assert "not in the config: changed web: backends\n" in shell.good("status")
    text = balancer.config.read_text()
    balancer.config.write_text(text.replace("[servers.web]", '[servers.web]\nbalance = "leastconn"'))
    assert shell.good("reload") == "changed web: balance\nweb: what was changed by hand stays\n"
    assert re.search(rf"^{line} +drain ", shell.good("backends", "web"), re.MULTILINE)
    assert shell.good("reload", "--discard") == "changed web: backends\nweb: what was changed by hand is dropped\n"
    assert re.search(rf"^{line} +ready ", shell.good("backends", "web"), re.MULTILINE)


def test_health_and_discovery_are_told(serve: Serve, line: str):
    port = free_port()
    check = '[servers.web.healthcheck]\nkind = "ping"\ninterval = "100ms"\ntimeout = "1s"\n'
    serve(balancer_with(f'bind = "{LOOPBACK}:{port}"\n', line, f"{LOOPBACK}:1", more=check))
    shell = Shell(f"http://{LOOPBACK}:{port}")
    rows = [row.split() for row in shell.good("healthchecks", "web").splitlines() if row.startswith("web")]
    assert {row[1]: row[2:4] for row in rows} == {line: ["ping", "healthy"], f"{LOOPBACK}:1": ["ping", "unhealthy"]}
    assert re.search(r"^web +static +good +2 ", shell.good("discovery"), re.MULTILINE)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["backends", "wbe"], "there is no server 'wbe'"),
        (["drain", "web", "10.0.0.1:1"], "server 'web' has no backend '10.0.0.1:1'"),
        (["drain", "web", f"{LOOPBACK}:1", "--deadline", "soon"], "deadline: duration 'soon'"),
        (["connections", "web", "--client", "nobody"], "client: "),
    ],
)
def test_what_the_api_refuses_is_told_in_its_words(served: tuple[Shell, Balancer], arguments: list[str], told: str):
    done = served[0].run(*arguments)
    assert done.returncode == 1
    assert done.stdout == ""
    assert told in done.stderr
    assert "Traceback" not in done.stderr


def test_credentials_come_from_the_environment_or_from_files_and_are_never_shown(
    serve: Serve, line: str, tmp_path: Path
):
    port = free_port()
    tokens = 'bearer_tokens = ["a-token-of-some-length"]\n'
    serve(balancer_with(f'bind = "{LOOPBACK}:{port}"\n{tokens}{BASIC}', line))
    address = f"http://{LOOPBACK}:{port}"
    Shell(address, {"PYGOBETWEEN_LOGIN": "admin", "PYGOBETWEEN_PASSWORD": PASSWORD}).good("status")
    Shell(address, {"PYGOBETWEEN_TOKEN": "a-token-of-some-length"}).good("status")
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    (tmp_path / "token").write_text("a-token-of-some-length\n")
    Shell(address).good("status", "--login", "admin", "--password-file", tmp_path / "password")
    Shell(address).good("status", "--token-file", tmp_path / "token")

    none = Shell(address).run("servers")
    assert none.returncode == 1
    assert none.stderr.splitlines()[0] == "pygobetween: credentials are needed"
    wrong = Shell(address, {"PYGOBETWEEN_LOGIN": "admin", "PYGOBETWEEN_PASSWORD": "wrong-password"}).run("servers")
    assert wrong.returncode == 1
    assert "wrong-password" not in wrong.stderr + wrong.stdout
    half = Shell(address, {"PYGOBETWEEN_LOGIN": "admin"}).run("servers")
    assert half.returncode == 1
    assert "a login needs a password" in half.stderr


def test_the_api_may_be_a_unix_socket(serve: Serve, line: str, tmp_path: Path):
    serve(balancer_with(f'bind = "unix:{tmp_path}/api"\n', line))
    assert Shell(f"unix:{tmp_path}/api").good("status").endswith("ready\n")
    gone = Shell(f"unix:{tmp_path}/gone").run("status")
    assert gone.returncode == 1
    hint = "does pygobetween run there, with [api] enabled?"
    assert gone.stderr == f"pygobetween: unix:{tmp_path}/gone: No such file or directory: {hint}\n"


def test_the_api_may_want_tls_and_a_certificate(serve: Serve, line: str, tmp_path: Path):
    authority = Authority(tmp_path)
    server, client = authority.issue("server"), authority.issue("client")
    port = free_port()
    tls = f'[api.tls]\ncert_path = "{server.certificate}"\nkey_path = "{server.key}"\nclient_ca_path = "{authority.ca}"'
    serve(balancer_with(f'bind = "{LOOPBACK}:{port}"\n{tls}\n', line))
    shell = Shell(f"https://{LOOPBACK}:{port}")
    files = ["--ca", authority.ca, "--cert", client.certificate, "--key", client.key]
    assert shell.good("status", *files).endswith("ready\n")
    distrusted = shell.run("status", *files[2:])
    assert distrusted.returncode == 1
    assert "its certificate is not trusted" in distrusted.stderr
    assert shell.run("status", *files[:2]).returncode == 1


@pytest.mark.parametrize(
    ("address", "told"),
    [
        (f"http://{LOOPBACK}:1", "Connection refused: does pygobetween run there, with [api] enabled?"),
        ("unix:/missing.sock", "No such file or directory: does pygobetween run there"),
        ("http://missing.invalid", "the name has no address"),
        ("127.0.0.1:8888", "is no address of an API"),
        (f"http://admin:{PASSWORD.replace(' ', '')}@localhost:1", "credentials do not belong into the address"),
    ],
)
def test_an_api_that_cannot_be_asked_is_told_in_a_line(address: str, told: str):
    done = Shell(address).run("status")
    assert done.returncode == 1
    assert told in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert PASSWORD.replace(" ", "") not in done.stderr


def test_something_else_than_the_api_is_told_as_such(nginx: Nginx):
    done = Shell(f"http://{LOOPBACK}:{nginx.port}").run("servers")
    assert done.returncode == 1
    assert done.stderr == "pygobetween: HTTP 404 Not Found: is that the API of pygobetween?\n"


def test_an_api_without_tls_is_not_asked_with_it(served: tuple[Shell, Balancer]):
    shell, _ = served
    done = shell.run("status", "--api", shell.variables["PYGOBETWEEN_API"].replace("http:", "https:"))
    assert done.returncode == 1
    assert "is it http://, without TLS?" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_ctrl_c_while_waiting_is_no_traceback(served: tuple[Shell, Balancer], line: str):
    shell, balancer = served
    with socket.create_connection((LOOPBACK, balancer.port), 10) as client:
        client.sendall(b"GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.1 "
        waiting = subprocess.Popen(
            [sys.executable, "-m", "gobetween_py", "drain", "web", line, "--wait"],
            cwd=ROOT,
            env={**os.environ, **shell.variables},
            stderr=subprocess.PIPE,
            text=True,
        )
        while shell.answer("backends", "web")["web"][1]["state"] != "drain":
            pass
        waiting.send_signal(signal.SIGINT)
        _, told = waiting.communicate(timeout=30)
    assert waiting.returncode == 130
    assert told == ""
