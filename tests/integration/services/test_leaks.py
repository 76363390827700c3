"""The check at the end of a run: whatever a test leaves alive or lying about fails the run, by name."""

import subprocess
import sys
from pathlib import Path

_LEAKING = """
import os, subprocess, tempfile
from tests.services.process import unique

def test_leaks():
    subprocess.Popen(["sh", "-c", "sleep 987655 & wait"], start_new_session=True)
    os.mkdir(os.path.join(tempfile.gettempdir(), unique("forgotten")))
"""


def _run(folder: Path, test: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_it.py").write_text(test)
    options = ["-p", "tests.conftest", "-c", "/dev/null", "--rootdir", str(folder), str(folder)]
    root = Path(__file__).parents[3]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *options], cwd=root, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_run_that_leaves_something_fails_and_names_it(tmp_path: Path) -> None:
    done = _run(tmp_path, _LEAKING)
    assert "1 passed" in done.stdout
    assert "left behind by this run" in done.stdout
    assert "process sleep 987655 (pid" in done.stdout
    assert "-forgotten-" in done.stdout
    assert done.returncode == 1
    (forgotten,) = [line.split()[1] for line in done.stdout.splitlines() if line.startswith("trace ")]
    Path(forgotten).rmdir()


def test_a_run_that_leaves_nothing_passes(tmp_path: Path) -> None:
    done = _run(tmp_path, "def test_nothing(): pass")
    assert done.returncode == 0, done.stdout
    assert "left behind" not in done.stdout
