"""What is missing is installed; what cannot be had says why, and its test is skipped, or fails where CI=true."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import apt

_WANTS_A_SERVER = """
from tests.services.apt import Unavailable
from tests.services.redis import Redis

class Missing(Redis):
    def command(self):
        raise Unavailable("nobody sells it")

def test_it(serve):
    serve(Missing())
"""


def test_a_command_that_is_there_is_found_without_installing() -> None:
    assert Path(apt.command("sh", "no-such-package")).name == "sh"


def test_a_package_that_does_not_exist_is_unavailable() -> None:
    with pytest.raises(apt.Unavailable, match="no-such-package"):
        apt.command("no-such-command", "no-such-package")


def test_a_package_that_brings_no_such_command_is_unavailable() -> None:
    with pytest.raises(apt.Unavailable, match="iproute2 brought no command no-such-command"):
        apt.command("no-such-command", "iproute2")


def test_a_package_file_with_another_digest_is_unavailable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(apt.Unavailable, match=r"busybox-static_.*has SHA-256 [0-9a-f]{64}, not 0000"):
        apt.extract("busybox-static", "bullseye", "0" * 64, "bin/busybox")
    assert list((tmp_path / "gobetween-tests").iterdir()) == []


@pytest.mark.parametrize(("ci", "outcome"), [("", "1 skipped"), ("true", "1 failed")])
def test_an_unavailable_server_skips_its_test_and_fails_it_under_ci(tmp_path: Path, ci: str, outcome: str) -> None:
    (tmp_path / "test_it.py").write_text(_WANTS_A_SERVER)
    options = ["-p", "tests.integration.conftest", "-c", "/dev/null", "--rootdir", str(tmp_path), "-rsf"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(tmp_path)],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "CI": ci},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert outcome in done.stdout
    assert "redis: nobody sells it" in done.stdout
