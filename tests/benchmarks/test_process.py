import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.backends import source
from benchmarks.net import Address
from benchmarks.process import StartError, running, stop
from tests.services.ports import free_port


def test_a_program_runs_as_long_as_the_block(tmp_path: Path) -> None:
    address = Address("127.0.0.1", free_port())
    with running(source.command([address], tmp_path), ready={address: b""}, directory=tmp_path) as process:
        assert process.poll() is None
        assert os.getpgid(process.pid) != os.getpgid(0)
    assert process.returncode == -signal.SIGTERM


def test_a_program_is_stopped_when_the_block_fails(tmp_path: Path) -> None:
    address = Address("127.0.0.1", free_port())
    with (
        pytest.raises(KeyboardInterrupt),
        running(source.command([address], tmp_path), ready={address: b""}, directory=tmp_path) as process,
    ):
        raise KeyboardInterrupt
    assert process.returncode is not None


def test_the_last_words_of_a_program_that_ended_are_told(tmp_path: Path) -> None:
    command = [sys.executable, "-c", "raise SystemExit('no such setting')"]
    with (
        pytest.raises(StartError, match="no such setting"),
        running(command, ready={Address("127.0.0.1", free_port()): b""}, directory=tmp_path),
    ):
        pass


def test_a_program_that_ignores_sigterm_is_killed() -> None:
    code = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        stop(process)
    assert process.returncode == -signal.SIGKILL
