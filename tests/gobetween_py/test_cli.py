import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gobetween_py import __version__, app, cli
from gobetween_py.config import Config
from gobetween_py.sources.contract import Source

CONFIG = """
[servers.web]
bind = "{bind}"
discovery = {{ kind = "static", static_list = ["{backend}"] }}
"""


@pytest.fixture
def right(tmp_path: Path) -> Path:
    file = tmp_path / "lb.toml"
    file.write_text(CONFIG.format(bind="127.0.0.1:0", backend="127.0.0.1:1"))
    return file


@pytest.fixture
def wrong(tmp_path: Path) -> Path:
    file = tmp_path / "wrong.toml"
    file.write_text(CONFIG.format(bind="127.0.0.1", backend="127.0.0.1:1") + "blance = 1\n")
    return file


class Started(NamedTuple):
    """The arguments of a run."""

    config: Config
    source: Source
    watch: bool
    pidfile: Path | None


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> list[Started]:
    """What the balancer was started with, instead of starting it."""
    started: list[Started] = []

    def run(config: Config, source: Source, *, watch: bool, pidfile: Path | None) -> int:
        started.append(Started(config, source, watch, pidfile))
        return 0

    monkeypatch.setattr(app, "run", run)
    return started


def usage_error(*arguments: str) -> int | str | None:
    with pytest.raises(SystemExit) as exited:
        cli.main(arguments)
    return exited.value.code


class TestCheck:
    def test_of_a_right_config_says_so(self, right: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["check", "-c", str(right)]) == 0
        assert capsys.readouterr() == (f"{right}: valid, 1 server\n", "")

    def test_of_a_wrong_config_prints_every_error(self, wrong: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["check", "-c", str(wrong)]) == 1
        assert capsys.readouterr().out.splitlines() == [
            "servers.web.blance: unknown key; did you mean 'balance'?",
            "servers.web.bind: '127.0.0.1' has no port: write host:port, :port, [v6]:port or unix:/path",
            f"{wrong}: 2 errors",
        ]

    def test_may_let_unknown_keys_pass(self, right: Path, capsys: pytest.CaptureFixture[str]) -> None:
        right.write_text(right.read_text() + "extra = 1\n")
        assert cli.main(["check", "-c", str(right)]) == 1
        capsys.readouterr()
        assert cli.main(["check", "--lenient", "-c", str(right)]) == 0
        assert capsys.readouterr().out.startswith("warning: servers.web.extra: unknown key; allowed: bind, ")

    def test_looks_for_the_files_that_the_config_names(self, right: Path, capsys: pytest.CaptureFixture[str]) -> None:
        right.write_text(right.read_text() + '[logging]\noutput = "/no/such/folder/lb.log"\n')
        assert cli.main(["check", "-c", str(right)]) == 1
        assert "logging.output: '/no/such/folder/lb.log' cannot be written" in capsys.readouterr().out

    def test_reads_json_and_variables_of_the_environment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        file = tmp_path / "lb.conf"
        discovery = {"kind": "static", "static_list": ["127.0.0.1:1"]}
        file.write_text(json.dumps({"servers": {"a": {"bind": ":${LB_PORT}", "discovery": discovery}}}))
        check = ["check", "-e", "-f", "json", "-c", str(file)]
        monkeypatch.delenv("LB_PORT", raising=False)
        assert cli.main(check) == 1
        assert capsys.readouterr().out.startswith(f"{file}:1: the variable LB_PORT is not set in the environment\n")
        monkeypatch.setenv("LB_PORT", "3000")
        assert cli.main(check) == 0

    def test_needs_a_file(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["check"]) == 1
        assert "Give -c FILE" in capsys.readouterr().out


class TestRun:
    @pytest.mark.parametrize(
        "arguments",
        [
            ["-c", "FILE", "-p", "/run/lb.pid"],
            ["from-file", "FILE", "-p", "/run/lb.pid"],
            ["-p", "/run/lb.pid", "from-file", "FILE"],
            ["--config", "FILE", "--format", "toml", "--pidfile", "/run/lb.pid"],
        ],
    )
    def test_takes_a_config_and_a_pid_file(self, arguments: list[str], right: Path, runs: list[Started]) -> None:
        assert cli.main([str(right) if word == "FILE" else word for word in arguments]) == 0
        [started] = runs
        assert list(started.config.servers) == ["web"]
        assert started.pidfile == Path("/run/lb.pid")
        assert started.source.name == str(right)
        assert not started.watch

    @pytest.mark.parametrize(
        "arguments", [["-c", "FILE", "--watch"], ["--watch", "from-file", "FILE"], ["from-file", "--watch", "FILE"]]
    )
    def test_may_follow_the_config(self, arguments: list[str], right: Path, runs: list[Started]) -> None:
        assert cli.main([str(right) if word == "FILE" else word for word in arguments]) == 0
        assert [started.watch for started in runs] == [True]

    def test_of_a_wrong_config_starts_nothing(
        self, wrong: Path, runs: list[Started], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(["-c", str(wrong)]) == 1
        assert runs == []
        assert capsys.readouterr().err.endswith(f"{wrong}: 2 errors\n")

    def test_warns_on_stderr(self, right: Path, runs: list[Started], capsys: pytest.CaptureFixture[str]) -> None:
        right.write_text(right.read_text() + "extra = 1\n")
        assert cli.main(["--lenient", "from-file", str(right)]) == 0
        assert capsys.readouterr().err.startswith("warning: servers.web.extra: unknown key")
        assert len(runs) == 1

    def test_options_before_the_command_are_not_lost(
        self, right: Path, runs: list[Started], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        right.write_text(right.read_text().replace("127.0.0.1:0", "${LB_BIND}"))
        monkeypatch.setenv("LB_BIND", "127.0.0.1:0")
        assert cli.main(["-e", "from-file", str(right)]) == 0
        assert len(runs) == 1


class TestOtherCommands:
    def test_no_arguments_show_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main([]) == 0
        assert capsys.readouterr().out.startswith("usage: pygobetween")

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert usage_error("-v") == 0
        assert capsys.readouterr().out == f"pygobetween {__version__}\n"

    def test_schema_is_json(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["schema"]) == 0
        assert "servers" in json.loads(capsys.readouterr().out)["properties"]

    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ["from-url", "http://me:secret@127.0.0.1:1/lb.json?token=secret"],
                "http://127.0.0.1:1/lb.json: cannot connect: Connection refused",
            ),
            (["from-consul", "127.0.0.1:1", "-k", "lb"], "consul://127.0.0.1:1/lb: 127.0.0.1:1: Connection refused"),
            (["from-consul", "127.0.0.1:1"], "consul://127.0.0.1:1/gobetween: 127.0.0.1:1: Connection refused"),
        ],
    )
    def test_sources_that_do_not_answer_are_one_line_without_secrets(
        self, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert cli.main(arguments) == 1
        lines = capsys.readouterr().err.splitlines()
        assert lines == [said, f"{said.partition(': ')[0]}: 1 error"]

    def test_what_is_no_url_is_one_line_without_secrets(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert cli.main(["from-url", "ftp://me:secret@localhost/lb.toml"]) == 1
        said = "pygobetween: is no address of this kind: write http://..., https://... or unix:/path/of/the.socket\n"
        assert capsys.readouterr().err == said

    @pytest.mark.parametrize(
        "arguments",
        [
            ["frm-file", "x"],
            ["-f", "yaml"],
            ["from-file"],
            ["from-consul", "localhost:8500", "-s", "ftp"],
            ["from-consul", "localhost"],
            ["from-url", "http://localhost/lb.toml", "--interval", "5"],
            ["from-url", "http://localhost/lb.toml", "--interval", "1ms"],
            ["demo", "--seconds", "0"],
        ],
    )
    def test_a_wrong_use_of_the_command_line_exits_with_2(
        self, arguments: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert usage_error(*arguments) == 2
        assert "pygobetween" in capsys.readouterr().err


@pytest.fixture
def backend() -> Iterator[str]:
    """A server that says hello to each client and closes."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client:
                client.sendall(b"hello")

    thread = threading.Thread(target=serve)
    thread.start()
    yield f"127.0.0.1:{listener.getsockname()[1]}"
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def test_the_program_carries_traffic_until_it_is_told_to_stop(backend: str, tmp_path: Path) -> None:
    """`python -m gobetween_py -c FILE -p PIDFILE`, with a UNIX socket to listen on: no port to be taken meanwhile."""
    address, pidfile, file = tmp_path / "lb.sock", tmp_path / "lb.pid", tmp_path / "lb.toml"
    file.write_text(CONFIG.format(bind=f"unix:{address}", backend=backend))
    program = subprocess.Popen(
        [sys.executable, "-m", "gobetween_py", "-c", str(file), "-p", str(pidfile)],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        received = b""
        while received != b"hello":
            assert program.poll() is None
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(30)
                try:
                    client.connect(os.fspath(address))
                    received = client.recv(5)
                except (FileNotFoundError, ConnectionRefusedError):  # not listening yet
                    time.sleep(0.02)
        assert pidfile.read_text() == f"{program.pid}\n"
        program.send_signal(signal.SIGTERM)
        assert program.wait(timeout=30) == 0
        assert not pidfile.exists()
    finally:
        program.kill()
        program.communicate()


def test_the_schema_may_be_read_in_part() -> None:
    """As by `pygobetween schema | head -1`."""
    program = subprocess.Popen(
        [sys.executable, "-m", "gobetween_py", "schema"],
        cwd=Path(__file__).parents[2],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert program.stdout is not None
    assert program.stdout.readline() == "{\n"
    program.stdout.close()
    assert program.stderr is not None
    assert program.stderr.read() == ""
    program.stderr.close()
    assert program.wait() == 0


def test_the_program_refuses_a_wrong_config_with_1(wrong: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "gobetween_py", "-c", str(wrong)],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1] == f"{wrong}: 2 errors"
