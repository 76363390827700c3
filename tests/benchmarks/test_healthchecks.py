"""The configs of the health check benchmark, and its addresses."""

import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import healthchecks
from benchmarks.net import Address
from gobetween_py.config import load

FRONT, WEB, QUICK, API = (Address("127.0.0.1", port) for port in (10001, 10002, 10003, 10006))
BACKENDS = Address("127.0.0.1", 10004), Address("127.0.0.2", 10005)
BENCH = healthchecks.Bench(BACKENDS, QUICK, 0.5, Path())


@pytest.mark.parametrize("name", [name for name in healthchecks.CHECKS if not name.startswith("haproxy")])
def test_our_config_checks_every_backend_as_the_row_says(name: str) -> None:
    config = load(healthchecks._ours(BENCH, name, FRONT, WEB, API))
    check = config.servers["web"].healthcheck
    assert check.kind == name
    assert name == "none" or (check.interval, check.timeout) == (0.5, 1.0)
    assert config.servers["redis"].healthcheck.kind == "none"


@pytest.mark.skipif(shutil.which("haproxy") is None, reason="haproxy is not installed")
def test_haproxy_takes_its_config(tmp_path: Path) -> None:
    file = tmp_path / "haproxy.cfg"
    file.write_text(healthchecks._haproxy(BENCH, FRONT, WEB))
    subprocess.run(["haproxy", "-c", "-f", file], check=True, capture_output=True)


def test_backends_are_all_different_and_spread_over_loopback_addresses() -> None:
    addresses = list(healthchecks._addresses(203))
    assert len(set(addresses)) == 203
    assert {address.host for address in addresses} == {f"127.0.0.{n}" for n in range(1, 21)}
