"""The benchmarks as a user runs them, on one short case."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.services import apt

COMMAND = [sys.executable, "-m", "benchmarks", "--cases", "messages-1", "--peers", "direct,pygobetween"]
SHORT = ["--rounds", "2", "--seconds", "0.1"]


@pytest.fixture(autouse=True)
def tools() -> None:
    """The servers that stand behind every case."""
    try:
        apt.command("nginx", "nginx")
        apt.command("redis-server", "redis-server", "redis-tools")
    except apt.Unavailable as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(str(reason))
        pytest.skip(str(reason))


def test_a_run_prints_and_writes_what_it_measured(tmp_path: Path) -> None:
    files = ["--json", str(tmp_path / "run.json"), "--markdown", str(tmp_path / "run.md")]
    printed = subprocess.run([*COMMAND, *SHORT, *files], capture_output=True, text=True, check=True).stdout
    assert "redis PING, 1 client" in printed

    written = json.loads((tmp_path / "run.json").read_text())
    (case,) = written["cases"]
    assert case["case"] == "messages-1"
    for measured in case["measured"]:
        peers = {"pygobetween"} if measured["metric"]["name"] == "cpu" else {"direct", "pygobetween"}
        assert set(measured["figures"]) == peers
        assert all(figure["least"] > 0 and len(figure["samples"]) == 2 for figure in measured["figures"].values())
    assert "| messages-1, CPU µs/message |" in (tmp_path / "run.md").read_text()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_what_it_started(number: signal.Signals) -> None:
    with subprocess.Popen(
        [*COMMAND, "--seconds", "60"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        assert run.stdout is not None
        assert run.stdout.readline().startswith("date")  # printed once the backends run
        started = [int(pid) for pid in Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()]
        run.send_signal(number)
        _, complaint = run.communicate()
    assert run.returncode == 130
    assert "interrupted" in complaint
    assert len(started) >= 3
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_a_run_of_the_health_checks_prints_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.healthchecks", "--checks", "none,ping", "--backends", "40"]
    short = ["--interval", "0.1", "--seconds", "0.3", "--rounds", "2", "--json", str(tmp_path / "run.json")]
    printed = subprocess.run([*command, *short], capture_output=True, text=True, check=True).stdout
    assert "40 backends, a check of each every 0.1 s" in printed
    samples = json.loads((tmp_path / "run.json").read_text())["samples"]
    assert {name: len(rounds) for name, rounds in samples.items()} == {"none": 2, "ping": 2}
    assert all(sample["checks"] > 100 and sample["p50"] > 0 for sample in samples["ping"])


def test_a_run_of_discovery_prints_what_it_measured(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.discovery", "--kinds", "file, lines; json", "--count", "500"]
    short = ["--rounds", "2", "--many-rounds", "1", "--json", str(tmp_path / "run.json")]
    printed = subprocess.run([*command, *short], capture_output=True, text=True, check=True).stdout
    assert "file, lines  1 to 500 " in printed
    written = json.loads((tmp_path / "run.json").read_text())
    assert set(written["change"]) == set(written["many"]) == {"file, lines", "json"}
    for change in written["change"].values():
        assert len(change["time"]["samples"]) == len(change["cpu"]["samples"]) == 2
        assert change["time"]["least"] > change["source"]["least"] > 0
    for steps in written["many"].values():
        assert [step["what"] for step in steps] == ["1 to 500", "500 to others"]
        assert all(step["cpu"]["median"] > 0 and step["during"]["count"] > 0 for step in steps)


def test_a_source_that_cannot_be_had_is_a_row_that_says_why(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.discovery", "--kinds", "etcd", "--rounds", "1", "--count", "0"]
    nowhere = {**os.environ, "PATH": str(tmp_path)}
    run = subprocess.run(command, capture_output=True, text=True, check=True, env=nowhere)
    assert "etcd         not here: " in run.stdout
