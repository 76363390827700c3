"""The process: signals, limits, pid file, what it says when it cannot start."""

import os
import resource
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.ports import free_port
from tests.services.process import LOOPBACK

ROOT = Path(__file__).parents[2]


class EndlessBackend:
    """Accepts, and keeps connections open until it is closed."""

    def __init__(self) -> None:
        self.listener = socket.create_server((LOOPBACK, 0))
        self.line = f"{LOOPBACK}:{self.listener.getsockname()[1]}"

    def __enter__(self) -> "EndlessBackend":
        return self

    def __exit__(self, *_: object) -> None:
        self.listener.close()

    def connect(self, port: int) -> tuple[socket.socket, socket.socket]:
        """A client of the balancer and its backend's end, both open."""
        client = socket.create_connection((LOOPBACK, port), 5)
        backend, _ = self.listener.accept()
        backend.sendall(b"hello")
        assert client.recv(5) == b"hello"
        return client, backend


def run(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "gobetween_py", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=30, cwd=ROOT, check=False)


def ended(balancer: Balancer, seconds: float) -> bool:
    assert balancer.process is not None
    try:
        balancer.process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_open_connections_may_end_before_it_stops(serve: Serve, signum: int):
    with EndlessBackend() as backend:
        balancer = serve(Balancer.before(backend.line, shutdown_timeout="20s"))
        client, end = backend.connect(balancer.port)
        balancer.process.send_signal(signum)
        assert not ended(balancer, 0.7)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((LOOPBACK, balancer.port), 5)
        end.sendall(b"to the end")
        assert client.recv(100) == b"to the end"
        client.close()
        end.close()
        assert ended(balancer, 5)
        assert balancer.process.returncode == 0


def test_connections_are_closed_after_shutdown_timeout(serve: Serve):
    with EndlessBackend() as backend:
        balancer = serve(Balancer.before(backend.line, shutdown_timeout="700ms"))
        client, end = backend.connect(balancer.port)
        begun = time.monotonic()
        balancer.process.send_signal(signal.SIGTERM)
        assert client.recv(1) == b""
        assert 0.5 < time.monotonic() - begun < 4
        assert ended(balancer, 5)
        assert "1 open connections closed" in balancer.log.read_text()
        client.close()
        end.close()


def test_a_second_signal_closes_at_once(serve: Serve):
    with EndlessBackend() as backend:
        balancer = serve(Balancer.before(backend.line, shutdown_timeout="60s"))
        client, end = backend.connect(balancer.port)
        balancer.process.send_signal(signal.SIGTERM)
        assert not ended(balancer, 0.5)
        balancer.process.send_signal(signal.SIGTERM)
        assert ended(balancer, 5)
        assert client.recv(1) == b""
        client.close()
        end.close()


def test_the_file_limit_is_raised_to_the_hard_one(serve: Serve):
    balancer = serve(Balancer.before(f"{LOOPBACK}:1"))
    soft, hard = resource.prlimit(balancer.process.pid, resource.RLIMIT_NOFILE)
    assert soft == hard


def test_a_port_in_use_is_one_line_with_the_remedy(tmp_path: Path):
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        result = run("-c", write(tmp_path, f"{LOOPBACK}:{port}"))
    assert result.returncode == 1
    assert result.stderr.splitlines() == [
        f"pygobetween: servers.web.bind: cannot listen on {LOOPBACK}:{port}: the port is in use: stop the program that "
        f"has it (ss -ltnp 'sport = :{port}' shows it), or take another"
    ]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to run as somebody who may not")
def test_a_privileged_port_is_one_line_with_the_remedy():
    start = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
    if int(start.read_text()) <= 81:
        pytest.skip("ports below 1024 are not privileged on this machine")
    code = (
        "import encodings.idna, os\n"  # the standard library may be out of reach for somebody else
        "from gobetween_py.bind import BindError, listen\n"
        "os.setuid(65534)\n"
        "try: listen('127.0.0.1', 81)\n"
        "except BindError as error: print(error)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=30, cwd=ROOT, check=False
    )
    assert result.stdout.startswith("cannot listen on 127.0.0.1:81: ports below 1024 are privileged: run as root, or")
    assert len(result.stdout.splitlines()) == 1


def test_the_pid_file_lives_as_long_as_the_process(tmp_path: Path):
    port, pidfile = free_port(), tmp_path / "pid"
    process = subprocess.Popen(
        [sys.executable, "-m", "gobetween_py", "-c", write(tmp_path, f"{LOOPBACK}:{port}"), "-p", pidfile],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 15
        while not (pidfile.exists() and pidfile.read_text()) and time.monotonic() < deadline:
            time.sleep(0.05)
        assert int(pidfile.read_text()) == process.pid
        connect_at_last(port).close()
    finally:
        process.terminate()
        process.wait(10)
    assert process.returncode == 0
    assert not pidfile.exists()


def test_a_second_start_that_fails_leaves_the_pid_file_of_the_first(tmp_path: Path):
    """Whoever signals by it, logrotate say, still reaches the one that runs."""
    pidfile = tmp_path / "pid"
    pidfile.write_text("4711\n")
    with socket.create_server((LOOPBACK, 0)) as taken:
        result = run("-c", write(tmp_path, f"{LOOPBACK}:{taken.getsockname()[1]}"), "-p", pidfile)
    assert result.returncode == 1
    assert pidfile.read_text() == "4711\n"


def test_it_runs_without_standard_streams(tmp_path: Path):
    """What lies under their numbers is no client's socket."""
    port = free_port()
    command = [sys.executable, "-m", "gobetween_py", "-c", write(tmp_path, f"{LOOPBACK}:{port}")]
    process = subprocess.Popen(["/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", *command], cwd=ROOT)
    try:
        connect_at_last(port).close()
        assert {os.readlink(f"/proc/{process.pid}/fd/{fd}") for fd in range(3)} == {os.devnull}
    finally:
        process.terminate()
        process.wait(10)
    assert process.returncode == 0


def test_a_pid_file_that_cannot_be_written_is_told(tmp_path: Path):
    result = run("-c", write(tmp_path, f"{LOOPBACK}:{free_port()}"), "-p", tmp_path / "missing" / "pid")
    assert result.returncode == 1
    assert result.stderr == f"pygobetween: pid file: cannot write {tmp_path}/missing/pid: No such file or directory\n"


def test_nothing_is_started_when_one_of_two_ports_is_in_use(tmp_path: Path):
    """The first server's port is free again afterwards."""
    with socket.create_server((LOOPBACK, 0)) as taken:
        free, config = free_port(), tmp_path / "lb.toml"
        config.write_text(
            "".join(
                f'[servers.{name}]\nbind = "{LOOPBACK}:{port}"\n[servers.{name}.discovery]\nkind = "static"\n'
                f'static_list = ["{LOOPBACK}:1"]\n'
                for name, port in (("first", free), ("second", taken.getsockname()[1]))
            )
        )
        result = run("-c", config)
    assert result.returncode == 1
    assert "servers.second.bind" in result.stderr
    assert "Traceback" not in result.stderr
    socket.create_server((LOOPBACK, free)).close()


def test_the_demo_runs_without_a_terminal_and_nothing_goes_wrong():
    result = run("demo", "--seconds", "6")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "was killed" in result.stdout or "is back" in result.stdout
    assert result.stdout.rstrip().endswith("0 refused, 0 wrong.")
    assert result.stderr == ""


def test_a_client_that_comes_before_the_first_answer_of_discovery_waits_for_it(tmp_path: Path):
    port, config = free_port(), tmp_path / "lb.toml"
    with EndlessBackend() as backend:
        config.write_text(
            f'[servers.web]\nbind = "{LOOPBACK}:{port}"\n[servers.web.discovery]\nkind = "exec"\n'
            f'exec_command = ["/bin/sh", "-c", "sleep 1; echo {backend.line}"]\n'
        )
        process = subprocess.Popen(
            [sys.executable, "-m", "gobetween_py", "-c", config], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        try:
            client = connect_at_last(port)
            end, _ = backend.listener.accept()
            end.sendall(b"hello")
            assert client.recv(5) == b"hello"
            client.close()
            end.close()
        finally:
            process.terminate()
            process.wait(15)


def write(folder: Path, bind: str) -> Path:
    config = folder / "lb.toml"
    config.write_text(
        f'[servers.web]\nbind = "{bind}"\n[servers.web.discovery]\nkind = "static"\nstatic_list = ["{LOOPBACK}:1"]\n'
    )
    return config


def connect_at_last(port: int) -> socket.socket:
    """A connection to a process that is starting."""
    deadline = time.monotonic() + 15
    while True:
        try:
            return socket.create_connection((LOOPBACK, port), 5)
        except ConnectionRefusedError:
            assert time.monotonic() < deadline
            time.sleep(0.05)
