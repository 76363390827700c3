"""Algorithms by name, ours and those of other packages."""

import subprocess
import sys
from pathlib import Path

import pytest

from balancer import Algorithm, UnknownAlgorithmError, load, names
from balancer.registry import BUILT_IN, GROUP
from tests.balancer.pools import pick, ready, specs

PLUGIN = """
from balancer import Algorithm

class Last(Algorithm):
    def choose(self, client):
        return self.backends[-1]

nothing = None
"""


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with entry points of our group, laid out as pip lays it out."""
    (tmp_path / "balance_last.py").write_text(PLUGIN)
    metadata = tmp_path / "balance_last-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: balance-last\nVersion: 1.0\n")
    points = (
        "last = balance_last:Last",
        "weight = balance_last:Last",
        "none = balance_last:nothing",
        "lost = lost:Lost",
    )
    (metadata / "entry_points.txt").write_text("\n".join((f"[{GROUP}]", *points)))
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.parametrize("name", BUILT_IN)
def test_every_name_of_ours_is_an_algorithm(name: str) -> None:
    assert issubclass(load(name), Algorithm)


def test_nothing_is_imported_before_it_is_named() -> None:
    program = "import balancer, sys; balancer.names(); print('balancer.maglev' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert printed == "False\n"


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(
        UnknownAlgorithmError, match=r"unknown balancing algorithm 'wieght'; there are iphash, .*weight"
    ):
        load("wieght")


@pytest.mark.usefixtures("installed")
def test_another_package_adds_an_algorithm() -> None:
    """It needs nothing but `choose`: full and tried backends are dealt with."""
    assert "last" in names()
    pool = ready("last", specs(3))
    assert pick(pool) == pool.backends[-1].address
    assert pick(pool, tried=pool.backends[-1:]) == pool.backends[-2].address
    assert pick(pool, tried=pool.backends) is None


@pytest.mark.usefixtures("installed")
def test_ours_come_before_another_of_the_same_name() -> None:
    assert load("weight").__module__ == "balancer.weight"


@pytest.mark.usefixtures("installed")
def test_a_broken_package_is_named() -> None:
    with pytest.raises(
        ImportError, match=r"balancing algorithm 'lost' \(lost:Lost\) cannot be loaded: No module named"
    ):
        load("lost")
    with pytest.raises(TypeError, match=r"balancing algorithm 'none' is None, not a subclass"):
        load("none")
