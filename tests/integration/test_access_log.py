"""The access log of a running balancer: with real traffic, renamed files, outputs that hang, and syslog."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

from tests.gobetween_py.proxy.hellos import openssl as client_hello
from tests.integration.conftest import Serve
from tests.integration.test_traffic import fetch
from tests.services.balancer import Balancer
from tests.services.certificates import Authority
from tests.services.load import ab
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK
from tests.services.rsyslog import Rsyslog

ROOT = Path(__file__).parents[2]


def balancer_logging(access_log: str, *backends: str, sections: str = "") -> Balancer:
    """A balancer whose server `web` has these lines in its section access_log."""
    port = free_port()
    balancer = Balancer(
        f"{sections}\n[access_log]\n{access_log}\n"
        f'[servers.web]\nbind = "{LOOPBACK}:{port}"\nshutdown_timeout = "1s"\n'
        f'[servers.web.discovery]\nkind = "static"\nstatic_list = {json.dumps(backends)}\n'
    )
    balancer.port = port
    return balancer


def until(holds: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def test_every_connection_of_a_load_has_its_line(serve: Serve, nginx: Nginx, tmp_path: Path):
    log = tmp_path / "access.log"
    backend = f"{LOOPBACK}:{nginx.port}"
    balancer = serve(balancer_logging(f'output = "{log}"\nformat = "json"', backend))
    with ThreadPoolExecutor(20) as clients:
        answers = list(clients.map(lambda _: fetch(balancer.port, "/name"), range(1000)))
    balancer.stop()  # which writes the rest
    entries = [json.loads(line) for line in lines(log)]
    assert len(entries) == len(answers)
    assert Counter(entry["reason"] for entry in entries) == {"client": 1000}
    assert {entry["backend"] for entry in entries} == {backend}
    assert {entry["attempts"] for entry in entries} == {1}
    assert len({entry["client"] for entry in entries}) == 1000
    assert len({(entry["tx"], entry["rx"]) for entry in entries}) == 1
    assert all(0 < entry["connect_time"] < entry["total_time"] for entry in entries)


@pytest.mark.parametrize("logging", ["", "output"])
def test_renamed_logs_are_left_alone_after_sigusr1(serve: Serve, nginx: Nginx, tmp_path: Path, logging: str):
    """As logrotate does it; the application's own log is opened anew as well."""
    log, own = tmp_path / "access.log", tmp_path / "own.log"
    balancer = serve(
        balancer_logging(
            f'output = "{log}"',
            f"{LOOPBACK}:{nginx.port}",
            sections=f'[logging]\noutput = "{own}"' if logging else "",
        )
    )
    fetch(balancer.port, "/name")
    log.rename(tmp_path / "access.log.1")
    if logging:
        own.rename(tmp_path / "own.log.1")
    fetch(balancer.port, "/name")
    until(lambda: len(lines(tmp_path / "access.log.1")) == 2)
    balancer.signal(signal.SIGUSR1)
    until(log.exists)
    for _ in range(3):
        fetch(balancer.port, "/name")
    until(lambda: len(lines(log)) == 3)
    assert len(lines(tmp_path / "access.log.1")) == 2
    if logging:
        balancer.stop()
        assert "listening" in (tmp_path / "own.log.1").read_text()
        assert "stopping" not in (tmp_path / "own.log.1").read_text()
        assert "stopping" in own.read_text()


def test_connections_go_on_beside_a_log_that_nobody_reads(serve: Serve, nginx: Nginx, tmp_path: Path):
    """A FIFO without a reader is a disk that hangs; the end does not wait for it either."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    balancer = serve(balancer_logging(f'output = "{fifo}"', f"{LOOPBACK}:{nginx.port}"))
    ab(f"http://{LOOPBACK}:{balancer.port}/name", requests=4000, clients=20)
    assert fetch(balancer.port, "/name") == b"nginx"
    begun = time.monotonic()
    balancer.stop()
    assert time.monotonic() - begun < 10
    assert balancer.status == 0
    assert f"{fifo} is too slow: its last" in balancer.log.read_text()


def test_connections_go_on_beside_a_full_disk_and_lost_lines_are_counted(serve: Serve, nginx: Nginx):
    metrics = free_port()
    sections = f'[metrics]\nenabled = true\nbind = "{LOOPBACK}:{metrics}"'
    balancer = serve(balancer_logging('output = "/dev/full"', f"{LOOPBACK}:{nginx.port}", sections=sections))
    for _ in range(300):
        assert fetch(balancer.port, "/name") == b"nginx"
    until(lambda: b'gobetween_access_log_dropped_lines_total{output="/dev/full"} 300.0\n' in fetch(metrics, "/metrics"))
    assert balancer.log.read_text().count("/dev/full cannot be written: No space left on device") == 1


def test_syslog_gets_each_line(serve: Serve, nginx: Nginx, tmp_path: Path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as daemon:
        daemon.settimeout(20)
        daemon.bind(str(tmp_path / "log"))
        balancer = serve(
            balancer_logging(
                f'output = "syslog:{tmp_path}/log"\nfacility = "local2"\nformat = "{{reason}} {{backend}}"',
                f"{LOOPBACK}:{nginx.port}",
            )
        )
        fetch(balancer.port, "/name")
        line = daemon.recv(1000).decode()
    assert line.startswith(f"<{(16 + 2) * 8 + 6}>")
    assert line.endswith(f" pygobetween[{balancer.pid}]: client {LOOPBACK}:{nginx.port}")


def test_a_syslog_daemon_knows_facility_program_and_pid(serve: Serve, nginx: Nginx):
    """Over its socket and over UDP; and after a restart of the daemon."""
    rsyslog = serve(Rsyslog())
    expected: list[str] = []
    for output, facility in ((f"syslog:{rsyslog.socket}", "local2"), (f"syslog:{LOOPBACK}:{rsyslog.port}", "daemon")):
        settings = f'output = "{output}"\nfacility = "{facility}"\nformat = "{{reason}} {{backend}}"'
        balancer = serve(balancer_logging(settings, f"{LOOPBACK}:{nginx.port}"))
        for _ in range(2):
            fetch(balancer.port, "/name")
            expected.append(f"{facility} info pygobetween {balancer.pid} client {LOOPBACK}:{nginx.port}")
            until(lambda: rsyslog.lines() == expected)
            rsyslog.restart()


def test_lines_on_stdout_are_between_those_of_the_log(serve: Serve, nginx: Nginx):
    balancer = serve(balancer_logging("", f"{LOOPBACK}:{nginx.port}"))
    fetch(balancer.port, "/name")
    until(lambda: f"-> {LOOPBACK}:{nginx.port} " in balancer.log.read_text())


def test_clients_that_got_nothing_have_a_line_too(serve: Serve, tmp_path: Path):
    log = tmp_path / "access.log"
    balancer = serve(
        balancer_logging(
            f'output = "{log}"\nformat = "{{reason}} {{backend}} {{attempts}}"', f"{LOOPBACK}:{free_port()}"
        )
    )
    with socket.create_connection((LOOPBACK, balancer.port), 5) as client:
        assert client.recv(1) == b""
    until(lambda: lines(log) == ["connect_failed - 1"])


def test_what_shutdown_closes_has_its_line(serve: Serve, nginx: Nginx, tmp_path: Path):
    log = tmp_path / "access.log"
    balancer = serve(balancer_logging(f'output = "{log}"\nformat = "{{reason}}"', f"{LOOPBACK}:{nginx.port}"))
    with socket.create_connection((LOOPBACK, balancer.port), 5) as client:
        client.sendall(b"GET /name HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.recv(9) == b"HTTP/1.1 "
        balancer.stop()
    assert lines(log) == ["shutdown"]


def test_the_name_that_a_tls_client_asks_for_is_logged(serve: Serve, nginx: Nginx, tmp_path: Path):
    """Also of one that gets no backend."""
    log, port = tmp_path / "access.log", free_port()
    balancer = Balancer(
        f'[access_log]\noutput = "{log}"\nformat = "{{sni}} {{reason}}"\n[servers.web]\nbind = "{LOOPBACK}:{port}"\n'
        '[servers.web.sni]\nunexpected_hostname_strategy = "reject"\n[servers.web.discovery]\nkind = "static"\n'
        f'static_list = ["{LOOPBACK}:{nginx.port} sni=known.test"]\n'
    )
    serve(balancer)
    for name in ("known.test", "unknown.test"):
        with socket.create_connection((LOOPBACK, port), 5) as client:
            client.sendall(client_hello(name))
            with suppress(ConnectionResetError):
                client.recv(1000)
    until(lambda: len(lines(log)) == 2)
    reasons = dict(line.split() for line in lines(log))
    assert reasons.keys() == {"known.test", "unknown.test"}
    assert reasons["unknown.test"] == "sni_rejected" != reasons["known.test"]


def test_the_name_is_logged_where_tls_ends_here_too(serve: Serve, nginx: Nginx, tmp_path: Path):
    log, authority = tmp_path / "access.log", Authority(tmp_path)
    own = authority.issue("known.test")
    balancer = Balancer.before(
        f"{LOOPBACK}:{nginx.port}",
        protocol="tls",
        **{"tls.cert_path": str(own.certificate), "tls.key_path": str(own.key)},
        **{"access_log.output": str(log), "access_log.format": "{sni}"},
    )
    serve(balancer)
    for name in ("known.test", None):
        with socket.create_connection((LOOPBACK, balancer.port), 5) as sock:
            context = authority.context()
            context.check_hostname = False
            with context.wrap_socket(sock, server_hostname=name) as client:
                client.sendall(b"GET /name HTTP/1.0\r\n\r\n")
                while client.recv(1000):
                    pass
    until(lambda: len(lines(log)) == 2)
    assert lines(log) == ["known.test", "-"]


def test_a_udp_session_has_its_line(serve: Serve, tmp_path: Path):
    log, port = tmp_path / "access.log", free_port()
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as backend,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        backend.bind((LOOPBACK, 0))
        address = f"{LOOPBACK}:{backend.getsockname()[1]}"
        serve(
            Balancer(
                f'[access_log]\noutput = "{log}"\nformat = "json"\n[servers.dns]\nbind = "{LOOPBACK}:{port}"\n'
                'protocol = "udp"\nclient_idle_timeout = "10s"\nudp = { max_responses = 1 }\n[servers.dns.discovery]\n'
                f'kind = "static"\nstatic_list = ["{address}"]\n'
            )
        )
        for sock in (client, backend):
            sock.settimeout(10)
        client.connect((LOOPBACK, port))
        client.send(b"question")
        question, session = backend.recvfrom(100)
        backend.sendto(b"the answer", session)
        assert (question, client.recv(100)) == (b"question", b"the answer")
        until(lambda: lines(log))
        line = json.loads(lines(log)[0])
        assert line["client"] == "{}:{}".format(*client.getsockname())
    assert (line["backend"], line["tx"], line["rx"], line["sni"]) == (address, 8, 10, None)


def test_a_log_that_cannot_be_written_is_one_line_at_the_start(tmp_path: Path):
    """A limit of file sizes is what even root is refused by."""
    config = tmp_path / "lb.toml"
    config.write_text(
        f'[access_log]\noutput = "syslog:{tmp_path}/nothing"\n[servers.web]\nbind = "{LOOPBACK}:0"\n'
        '[servers.web.discovery]\nkind = "static"\nstatic_list = []\n'
    )
    command = [sys.executable, "-m", "gobetween_py", "-c", config]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)
    assert result.returncode == 1
    why = f"cannot write syslog:{tmp_path}/nothing: No such file or directory"
    assert result.stderr == f"pygobetween: servers.web.access_log.output: {why}\n"


def test_a_reload_changes_where_and_how_lines_are_written(serve: Serve, nginx: Nginx, tmp_path: Path):
    """Connections that are open go on, and have their line in the new log."""
    old, new = tmp_path / "old.log", tmp_path / "new.log"
    balancer = serve(balancer_logging(f'output = "{old}"\nformat = "old {{reason}}"', f"{LOOPBACK}:{nginx.port}"))
    text = balancer.config.read_text()
    fetch(balancer.port, "/name")
    with socket.create_connection((LOOPBACK, balancer.port), 5) as client:
        balancer.config.write_text(text.replace(str(old), str(new)).replace("old {", "new {"))
        balancer.signal(signal.SIGHUP)
        until(new.exists)
        until(lambda: "SIGHUP: reloaded" in balancer.log.read_text())
        client.sendall(b"GET /name HTTP/1.0\r\n\r\n")
        while client.recv(1000):
            pass
    until(lambda: lines(new) == ["new backend"])
    until(lambda: lines(old) == ["old client"])

    balancer.config.write_text(text.replace(str(old), "/no/such/log"))
    balancer.signal(signal.SIGHUP)
    until(lambda: "nothing has changed" in balancer.log.read_text())
    fetch(balancer.port, "/name")
    until(lambda: lines(new) == ["new backend", "new client"])

    balancer.config.write_text(text.replace("[access_log]", "[access_log]\nenabled = false"))
    balancer.signal(signal.SIGHUP)
    until(lambda: balancer.log.read_text().count("SIGHUP: reloaded") == 2)
    fetch(balancer.port, "/name")
    until(lambda: str(new) not in {os.path.realpath(fd) for fd in Path(f"/proc/{balancer.pid}/fd").iterdir()})
    balancer.stop()
    assert lines(new) == ["new backend", "new client"]
