"""Health checks of real servers, and what clients notice of backends that go down and come back."""

import json
import os
import re
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_traffic import fetch
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.nginx import Nginx
from tests.services.nsd import Nsd
from tests.services.openssl import TlsServer
from tests.services.ports import free_port
from tests.services.proc import descendants
from tests.services.process import LOOPBACK
from tests.services.redis import Redis, redis_cli

CHANGE = re.compile(r"web: backend (\S+) is (healthy|unhealthy|ejected): (.*)")


class Checked(Balancer):
    """A balancer with one server, `web`, before static backends, that checks them each 100 ms."""

    @classmethod
    def with_check(
        cls, *backends: str, balance: str = "roundrobin", lines: Sequence[str] = (), **keys: object
    ) -> "Checked":
        """Backends are lines; keys those of the section healthcheck, `lines` further ones of the server's own."""
        listen = free_port()
        check = {"interval": "100ms", "timeout": "1s", **keys}
        balancer = cls(
            "\n".join(
                [
                    "[servers.web]",
                    f'bind = "{LOOPBACK}:{listen}"',
                    f'balance = "{balance}"',
                    'shutdown_timeout = "0"',
                    *lines,
                    "[servers.web.healthcheck]",
                    *(f"{key} = {json.dumps(value)}" for key, value in check.items()),
                    "[servers.web.discovery]",
                    'kind = "static"',
                    f"static_list = {json.dumps(backends)}",
                    "",
                ]
            )
        )
        balancer.port = listen
        return balancer

    def changes(self) -> list[tuple[str, str, str]]:
        """(backend, state, reason) of every change so far."""
        return [match.groups() for match in CHANGE.finditer(self.log_text())]  # type: ignore[misc]

    def wait_for(self, *expected: tuple[str, str], seconds: float = 20.0) -> list[str]:
        """Until the states changed in this way, (backend, state) each; returns the reasons."""
        deadline = time.monotonic() + seconds
        while [change[:2] for change in self.changes()] != list(expected):
            assert time.monotonic() < deadline, self.log_tail()
            time.sleep(0.02)
        return [reason for _, _, reason in self.changes()]


def until(holds: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def served(port: int) -> bool:
    """Whether clients get an answer."""
    try:
        return fetch(port, "/name") != b""
    except ConnectionError:
        return False


def most_files(pid: int) -> int:
    """Open files of a process, the most of several looks."""
    counts = []
    for _ in range(30):
        counts.append(len(os.listdir(f"/proc/{pid}/fd")))
        time.sleep(0.01)
    return max(counts)


def at(server: "Nginx | Redis | TlsServer | Nsd") -> str:
    return f"{LOOPBACK}:{server.port}"


def script(folder: Path, text: str) -> str:
    """The path of a shell script for exec checks."""
    file = folder / "check.sh"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def exec_check(command: str) -> dict[str, object]:
    return {
        "kind": "exec",
        "exec_command": command,
        "exec_expected_positive_output": "1",
        "exec_expected_negative_output": "0",
    }


REDIS = {"kind": "probe", "probe_protocol": "tcp", "probe_send": r"PING\r\n", "probe_recv": r"+PONG\r\n"}


# ping


def test_ping_follows_a_server_that_dies_and_comes_back(serve: Serve) -> None:
    """Clients notice nothing, and each change is one line."""
    a, b = serve(Nginx("a")), serve(Nginx("b"))
    balancer = serve(Checked.with_check(at(a), at(b), kind="ping", fails=2, passes=2))
    first = sorted([(at(a), "healthy"), (at(b), "healthy")])
    until(lambda: sorted(change[:2] for change in balancer.changes()) == first)
    until(lambda: Counter(fetch(balancer.port, "/name") for _ in range(20)) == {b"a": 10, b"b": 10})
    started = [change[:2] for change in balancer.changes()]
    b.stop()
    balancer.wait_for(*started, (at(b), "unhealthy"))
    assert {fetch(balancer.port, "/name") for _ in range(20)} == {b"a"}  # told already or not: nobody notices
    b.start()
    reasons = balancer.wait_for(*started, (at(b), "unhealthy"), (at(b), "healthy"))
    until(lambda: fetch(balancer.port, "/name") == b"b")
    assert reasons[2:] == [
        "ping: cannot connect: Connection refused, 2 times in a row",
        "ping: connected, 2 times in a row",
    ]


def test_a_name_with_several_addresses_is_alive_when_one_of_them_answers(serve: Serve, nginx: Nginx) -> None:
    """localhost is ::1 too; nginx listens there on no such port."""
    redis = serve(Redis())
    balancer = serve(Checked.with_check(f"localhost:{nginx.port}", f"localhost:{redis.port}", kind="ping"))
    until(lambda: sorted(state for _, state, _ in balancer.changes()) == ["healthy", "healthy"])


# probe


def test_probe_tells_a_redis_that_hangs(serve: Serve, redis: Redis) -> None:
    """It takes connections all the same, so that ping would see nothing."""
    balancer = serve(Checked.with_check(at(redis), **(REDIS | {"timeout": "300ms"})))
    balancer.wait_for((at(redis), "healthy"))
    assert redis_cli(balancer.port, "PING") == "PONG"
    redis.signal(signal.SIGSTOP)
    balancer.wait_for((at(redis), "healthy"), (at(redis), "unhealthy"))
    redis.signal(signal.SIGCONT)
    reasons = balancer.wait_for((at(redis), "healthy"), (at(redis), "unhealthy"), (at(redis), "healthy"))
    assert reasons == [r"probe: answered '+PONG\r\n'", "probe: no answer within 300ms", r"probe: answered '+PONG\r\n'"]


def test_probe_tells_another_server_in_its_place(serve: Serve, nginx: Nginx) -> None:
    balancer = serve(Checked.with_check(at(nginx), **REDIS))
    [reason] = balancer.wait_for((at(nginx), "unhealthy"))
    assert reason.startswith("probe: answered 'HTTP/1.")


def test_probe_by_a_pattern(serve: Serve, redis: Redis) -> None:
    pattern = {"probe_strategy": "regexp", "probe_send": r"INFO server\r\n", "probe_recv": "redis_version:[67]"}
    balancer = serve(Checked.with_check(at(redis), **(REDIS | pattern | {"probe_recv_len": 60})))
    balancer.wait_for((at(redis), "healthy"))


def test_probe_over_tls_verifies_the_server(serve: Serve) -> None:
    server = serve(TlsServer())
    check = {"kind": "probe", "probe_protocol": "tls", "probe_send": r"hello\n", "probe_recv": "olleh"}
    trusting = serve(Checked.with_check(at(server), **check, probe_tls_cacert_path=str(server.authority.ca)))
    trusting.wait_for((at(server), "healthy"))
    trusting.stop()
    careless = serve(Checked.with_check(at(server), **check, probe_tls_ignore_verify=True))
    careless.wait_for((at(server), "healthy"))
    careless.stop()
    strict = serve(Checked.with_check(at(server), **check))
    [reason] = strict.wait_for((at(server), "unhealthy"))
    assert reason.startswith("probe: TLS handshake: unable to get local issuer certificate")


def test_probe_over_tls_asks_for_the_name_of_the_backend(serve: Serve) -> None:
    server = serve(TlsServer())
    check = {"kind": "probe", "probe_protocol": "tls", "probe_send": r"hello\n", "probe_recv": "olleh"}
    check["probe_tls_cacert_path"] = str(server.authority.ca)
    named = serve(Checked.with_check(f"{at(server)} sni=localhost", **check))
    named.wait_for((at(server), "healthy"))
    named.stop()
    wrong = serve(Checked.with_check(f"{at(server)} sni=localhost", **check, probe_tls_server_name="other.example"))
    [reason] = wrong.wait_for((at(server), "unhealthy"))
    assert "other.example" in reason


def test_probe_over_tls_shows_a_certificate(serve: Serve) -> None:
    server = serve(TlsServer(ask=True))
    check = {"kind": "probe", "probe_protocol": "tls", "probe_send": r"hello\n", "probe_recv": "olleh"}
    check["probe_tls_cacert_path"] = str(server.authority.ca)
    client = {
        "probe_tls_cert_path": str(server.client.certificate),
        "probe_tls_key_path": str(server.client.key),
    }
    shown = serve(Checked.with_check(at(server), **check, **client))
    shown.wait_for((at(server), "healthy"))
    shown.stop()
    hidden = serve(Checked.with_check(at(server), **check))
    hidden.wait_for((at(server), "unhealthy"))


def test_probe_over_udp_on_another_port(serve: Serve, nginx: Nginx, nsd: Nsd) -> None:
    """A name server is asked for the root; its answer begins with the query's id and the flag of an answer."""
    query = r"\x12\x34\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\x01"
    check = {"kind": "probe", "probe_protocol": "udp", "probe_send": query, "probe_recv": r"\x12\x34\x80"}
    lossy = {"initial_status": "unhealthy", "fails": 3}  # a datagram may get lost
    balancer = serve(Checked.with_check(at(nginx), **check, **lossy, port=nsd.port))
    balancer.wait_for((at(nginx), "healthy"))
    until(lambda: served(balancer.port))
    nsd.stop()
    reasons = balancer.wait_for((at(nginx), "healthy"), (at(nginx), "unhealthy"))
    assert reasons[1] == "probe: cannot receive: Connection refused, 3 times in a row"


# http


def test_http_follows_the_status(serve: Serve, nginx: Nginx) -> None:
    nginx.write("health", b"I am alive")
    balancer = serve(Checked.with_check(at(nginx), kind="http", http_path="/health", http_expected_status=[200]))
    balancer.wait_for((at(nginx), "healthy"))
    (nginx.root / "health").unlink()
    balancer.wait_for((at(nginx), "healthy"), (at(nginx), "unhealthy"))
    nginx.write("health", b"I am alive")
    reasons = balancer.wait_for((at(nginx), "healthy"), (at(nginx), "unhealthy"), (at(nginx), "healthy"))
    assert reasons == ["http: status 200", "http: status 404", "http: status 200"]


def test_http_looks_for_a_text_in_the_body(serve: Serve, nginx: Nginx) -> None:
    nginx.write("health", b"x" * 30_000 + b" I am alive")
    check = {"kind": "http", "http_path": "/health", "http_expected_body": "alive"}
    balancer = serve(Checked.with_check(at(nginx), **check))
    balancer.wait_for((at(nginx), "healthy"))
    nginx.write("health", b"x" * 30_000 + b" I am dying")
    reasons = balancer.wait_for((at(nginx), "healthy"), (at(nginx), "unhealthy"))
    assert reasons[1] == "http: status 200, but the body does not hold what is expected"


def test_http_with_head(serve: Serve, nginx: Nginx) -> None:
    nginx.write("health", b"x" * 1_000_000)
    check = {"kind": "http", "http_path": "/health", "http_method": "HEAD", "http_expected_status": [200]}
    balancer = serve(Checked.with_check(at(nginx), **check))
    balancer.wait_for((at(nginx), "healthy"))


def test_http_of_another_host_and_port(serve: Serve, nginx: Nginx, redis: Redis) -> None:
    """What stands beside a backend may know better how it is."""
    balancer = serve(Checked.with_check(at(redis), kind="http", host="localhost", port=nginx.port, http_path="/name"))
    balancer.wait_for((at(redis), "healthy"))
    assert redis_cli(balancer.port, "PING") == "PONG"
    nginx.stop()
    balancer.wait_for((at(redis), "healthy"), (at(redis), "unhealthy"))


def test_https(serve: Serve) -> None:
    server = serve(TlsServer(page=True))
    check = {"kind": "http", "http_scheme": "https", "http_tls_cacert_path": str(server.authority.ca)}
    balancer = serve(Checked.with_check(at(server), **check, http_expected_body="s_server"))
    balancer.wait_for((at(server), "healthy"))


# exec


def test_exec_follows_a_script(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    """Which sees host and port; an output that is not expected leaves the status as it is, with a warning."""
    verdict = tmp_path / "verdict"
    verdict.write_text("1")
    command = script(tmp_path, f'echo "$1 $2" > {tmp_path}/arguments; cat {verdict}')
    balancer = serve(Checked.with_check(at(nginx), **exec_check(command)))
    balancer.wait_for((at(nginx), "healthy"))
    assert (tmp_path / "arguments").read_text() == f"{LOOPBACK} {nginx.port}\n"
    verdict.write_text("what?")
    until(lambda: "tells nothing, it is healthy as before" in balancer.log_text())
    assert fetch(balancer.port, "/name") == b"nginx"
    verdict.write_text("0\n")
    reasons = balancer.wait_for((at(nginx), "healthy"), (at(nginx), "unhealthy"))
    assert reasons[1] == r"exec: printed '0\n'"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("trap '' TERM; (trap '' TERM; sleep 600) & sleep 600", "exec: no answer within 300ms"),
        ("while :; do sleep 600 & sleep 0.01; done", "exec: no answer within 300ms"),
        ("sleep 600 & exit 7", "exec: exited with status 7"),
    ],
    ids=["hangs", "forks", "leaves a child"],
)
def test_exec_of_a_script_that_misbehaves(serve: Serve, nginx: Nginx, tmp_path: Path, text: str, reason: str) -> None:
    """It counts as a failure, none of it is left over, and the traffic of other servers goes on."""
    check = exec_check(script(tmp_path, text)) | {"timeout": "300ms", "initial_status": "healthy"}
    balancer = serve(Checked.with_check(at(nginx), **check))
    assert balancer.wait_for((at(nginx), "unhealthy")) == [reason]
    until(lambda: not descendants(balancer.pid))  # between two of them


def test_exec_of_a_script_that_floods_says_nothing(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    check = exec_check(script(tmp_path, "exec yes")) | {"initial_status": "healthy"}
    balancer = serve(Checked.with_check(at(nginx), **check))
    until(lambda: "printed more than 64 KiB" in balancer.log_text())
    assert fetch(balancer.port, "/name") == b"nginx"
    assert balancer.changes() == []


# before the first check


def test_a_new_backend_gets_no_traffic_before_its_first_check(serve: Serve, tmp_path: Path) -> None:
    """Beside one that was checked already."""
    old, new = serve(Nginx("old")), serve(Nginx("new"))
    listed = tmp_path / "backends"
    listed.write_text(f"{at(old)}\n")
    command = script(tmp_path, f"[ $2 = {old.port} ] || while [ ! -e {tmp_path}/go ]; do sleep 0.02; done; printf 1")
    balancer = serve(Checked.with_check(**exec_check(command) | {"timeout": "30s"}))
    balancer.stop()
    text = balancer.config.read_text()
    start = text.index("[servers.web.discovery]")
    balancer.config.write_text(
        f'{text[:start]}[servers.web.discovery]\nkind = "file"\nfile_path = "{listed}"\nfile_format = "lines"\n'
    )
    balancer.start()
    balancer.wait_for((at(old), "healthy"))
    listed.write_text(f"{at(old)}\n{at(new)}\n")
    until(lambda: any(str(new.port) in process.command for process in descendants(balancer.pid)))
    assert {fetch(balancer.port, "/name") for _ in range(20)} == {b"old"}
    (tmp_path / "go").touch()
    balancer.wait_for((at(old), "healthy"), (at(new), "healthy"))
    until(lambda: {fetch(balancer.port, "/name") for _ in range(4)} == {b"old", b"new"})


def test_clients_that_come_before_the_first_check_wait_for_it(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    """In the backlog: they are not refused."""
    command = script(tmp_path, "sleep 0.5; printf 1")
    balancer = serve(Checked.with_check(at(nginx), **exec_check(command)))
    assert fetch(balancer.port, "/name") == b"nginx"


def test_initially_healthy_is_used_at_once_and_unhealthy_is_not(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    hangs = exec_check(script(tmp_path, "sleep 600")) | {"timeout": "30s"}
    healthy = serve(Checked.with_check(at(nginx), **hangs, initial_status="healthy"))
    assert fetch(healthy.port, "/name") == b"nginx"
    unhealthy = serve(Checked.with_check(at(nginx), **hangs, initial_status="unhealthy"))
    with pytest.raises(ConnectionError):
        fetch(unhealthy.port, "/name")


# failed connects


def test_failed_connects_eject_a_backend_and_clients_notice_nothing(serve: Serve) -> None:
    a, b = serve(Nginx("a")), serve(Nginx("b"))
    check = {"kind": "none", "max_fails": 3, "ejection_time": "1s"}
    balancer = serve(Checked.with_check(at(a), at(b), **check))
    b.stop()
    assert {fetch(balancer.port, "/name") for _ in range(20)} == {b"a"}
    [reason] = balancer.wait_for((at(b), "ejected"))
    assert reason == "3 connects failed within 10s, the last: Connection refused; for 1s"
    b.start()
    reasons = balancer.wait_for((at(b), "ejected"), (at(b), "healthy"))
    assert reasons[1] == "its ejection is over, its time is over"
    until(lambda: {fetch(balancer.port, "/name") for _ in range(4)} == {b"a", b"b"})


def test_a_backend_that_stays_dead_is_ejected_for_longer_each_time(serve: Serve) -> None:
    a, b = serve(Nginx("a")), serve(Nginx("b"))
    balancer = serve(Checked.with_check(at(a), at(b), kind="none", max_fails=1, ejection_time="300ms"))
    b.stop()

    def lengths() -> list[str]:
        fetch(balancer.port, "/name")
        return [reason.rpartition("for ")[2] for _, state, reason in balancer.changes() if state == "ejected"]

    until(lambda: lengths() == ["300ms", "600ms", "1.2s"])


def test_the_last_backend_is_never_ejected(serve: Serve, nginx: Nginx) -> None:
    nginx.stop()
    balancer = serve(Checked.with_check(at(nginx), kind="none", max_fails=1, max_ejection_percent=100))
    for _ in range(3):
        with pytest.raises(ConnectionError):
            fetch(balancer.port, "/name")
    nginx.start()
    assert fetch(balancer.port, "/name") == b"nginx"
    assert balancer.changes() == []


# panic


@pytest.mark.parametrize("threshold", [0, 60])
def test_with_a_panic_threshold_too_few_are_no_reason_to_use_only_them(serve: Serve, threshold: int) -> None:
    """Both backends would answer clients; the checks of both fail."""
    a, b = serve(Nginx("a")), serve(Nginx("b"))
    check = {"kind": "http", "http_path": "/no-such-file", "panic_threshold": threshold}
    balancer = serve(Checked.with_check(at(a), at(b), **check))
    until(lambda: len(balancer.changes()) == 2)
    if threshold:
        until(lambda: "all backends are used" in balancer.log_text())
        assert {fetch(balancer.port, "/name") for _ in range(10)} == {b"a", b"b"}
    else:
        with pytest.raises(ConnectionError):
            fetch(balancer.port, "/name")


# open connections, and the way back


@pytest.mark.parametrize("on_down", ["keep", "close"])
def test_open_connections_of_a_backend_that_goes_down(serve: Serve, redis: Redis, tmp_path: Path, on_down: str) -> None:
    """Closed by a reset, so that nobody takes a torn stream for a whole one."""
    verdict = tmp_path / "verdict"
    verdict.write_text("1")
    check = exec_check(script(tmp_path, f"cat {verdict}")) | {"on_down": on_down}
    balancer = serve(Checked.with_check(at(redis), **check))
    with socket.create_connection((LOOPBACK, balancer.port), timeout=20) as client:
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"
        verdict.write_text("0")
        balancer.wait_for((at(redis), "healthy"), (at(redis), "unhealthy"))
        if on_down == "close":
            with pytest.raises(ConnectionResetError):
                client.recv(100)
        else:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"


@pytest.mark.parametrize("side", ["clients", "backends"])
@pytest.mark.parametrize("on_down", ["keep", "close"])
def test_open_tls_connections_of_a_backend_that_goes_down(
    serve: Serve, tmp_path: Path, on_down: str, side: str
) -> None:
    """With TLS terminated here, or spoken to the backend, it is the same."""
    server = serve(TlsServer()) if side == "backends" else serve(Redis())
    authority = Authority(tmp_path)
    own = authority.issue("localhost")
    (tmp_path / "verdict").write_text("1")
    check = exec_check(script(tmp_path, f"cat {tmp_path}/verdict")) | {"on_down": on_down}
    tls = {
        "backends": "backends_tls = { ignore_verify = true }",
        "clients": f'protocol = "tls"\ntls = {{ cert_path = "{own.certificate}", key_path = "{own.key}" }}',
    }
    balancer = serve(Checked.with_check(at(server), lines=[tls[side]], **check))
    question, answer = (b"PING\r\n", b"+PONG\r\n") if side == "clients" else (b"PING\n", b"GNIP\n")
    with socket.create_connection((LOOPBACK, balancer.port), timeout=20) as plain, plain.dup() as below:
        client = plain if side == "backends" else authority.context().wrap_socket(plain, server_hostname="localhost")
        client.sendall(question)
        assert client.recv(100) == answer
        (tmp_path / "verdict").write_text("0")
        balancer.wait_for((at(server), "healthy"), (at(server), "unhealthy"))
        if on_down == "close":
            with pytest.raises(ConnectionResetError):
                below.recv(100)  # Python's ssl takes a reset for an end
        else:
            client.sendall(question)
            assert client.recv(100) == answer
        client.close()


@pytest.mark.parametrize("balance", ["weight", "roundrobin"])
def test_a_returning_backend_starts_slowly(serve: Serve, balance: str) -> None:
    """Of two equal ones it gets a small part at first: 5 % of what the other gets, growing over ten minutes."""
    a, b = serve(Nginx("a")), serve(Nginx("b"))
    balancer = serve(Checked.with_check(at(a), at(b), balance=balance, kind="ping", slow_start="10m"))
    until(lambda: len(balancer.changes()) == 2)
    until(lambda: Counter(fetch(balancer.port, "/name") for _ in range(200))[b"b"] > 60)
    b.stop()
    until(lambda: len(balancer.changes()) == 3)
    b.start()
    until(lambda: len(balancer.changes()) == 4)
    until(lambda: b"b" in {fetch(balancer.port, "/name") for _ in range(50)})
    after = Counter(fetch(balancer.port, "/name") for _ in range(400))
    assert after[b"b"] < 80


# a changed config


def test_a_reload_changes_the_checks_in_place(serve: Serve, nginx: Nginx, redis: Redis) -> None:
    """The verdicts so far stay, and so do connections."""
    balancer = serve(Checked.with_check(at(redis), kind="ping"))
    balancer.wait_for((at(redis), "healthy"))
    with socket.create_connection((LOOPBACK, balancer.port), timeout=20) as client:
        text = balancer.config.read_text()
        balancer.config.write_text(text.replace('kind = "ping"', f'kind = "http"\nport = {nginx.port}'))
        balancer.signal(signal.SIGHUP)
        until(lambda: "changed web" in balancer.log_text())
        nginx.stop()
        balancer.wait_for((at(redis), "healthy"), (at(redis), "unhealthy"))
        balancer.config.write_text(text.replace('kind = "ping"', 'kind = "none"'))
        balancer.signal(signal.SIGHUP)
        until(lambda: balancer.log_text().count("changed web") == 2)
        assert redis_cli(balancer.port, "PING") == "PONG"
        client.sendall(b"PING\r\n")
        assert client.recv(100) == b"+PONG\r\n"


# what it costs


def test_checks_leave_nothing_open(serve: Serve, nginx: Nginx, redis: Redis, tmp_path: Path) -> None:
    """Of servers that answer, hang and refuse, by every kind."""
    dead = free_port()
    redis.signal(signal.SIGSTOP)
    backends = [at(nginx), at(redis), f"{LOOPBACK}:{dead}"]
    checks = [
        {"kind": "ping"},
        REDIS,
        {"kind": "http"},
        {"kind": "probe", "probe_protocol": "tls", "probe_send": "a", "probe_recv": "b"},
        exec_check(script(tmp_path, f"[ $2 = {redis.port} ] && sleep 600; printf 1")),
    ]
    for check in checks:
        balancer = serve(Checked.with_check(*backends, **check | {"interval": "20ms", "timeout": "50ms"}))
        until(lambda balancer=balancer: len(balancer.changes()) >= 3)  # type: ignore[misc]
        highest = most_files(balancer.pid)
        time.sleep(0.5)  # 25 rounds more
        assert most_files(balancer.pid) <= highest + 8
        balancer.stop()
    redis.signal(signal.SIGCONT)
