import shutil
import subprocess
from pathlib import Path

import pytest

from benchmarks import backends, certificate
from benchmarks.net import Address
from benchmarks.peers.haproxy import HAPROXY
from benchmarks.peers.nginx import NGINX
from benchmarks.peers.program import Program
from benchmarks.peers.pygobetween import LOGGING, PYGOBETWEEN

FRONTS = {kind: Address("127.0.0.1", 9000 + number) for number, kind in enumerate(backends.KINDS)}


@pytest.mark.parametrize("peer", [HAPROXY, NGINX, PYGOBETWEEN, LOGGING], ids=lambda peer: peer.name)
def test_a_config_has_every_front_and_every_backend(peer: Program, tmp_path: Path) -> None:
    behind = backends.addresses(20_000)
    fronts = {kind: front for kind, front in FRONTS.items() if peer.serves([kind])}
    text = peer.render(fronts, behind, tmp_path)
    for kind in peer.lacks:
        assert not any(str(address) in text for address in behind[kind])
    for kind, front in fronts.items():
        assert text.count(str(front)) == 1
        assert all(str(address) in text for address in behind[kind])
    assert text.count("192.0.2.0/24") in {1, len(fronts)}
    assert "${" not in text


@pytest.mark.parametrize("peer", [HAPROXY, NGINX, PYGOBETWEEN, LOGGING], ids=lambda peer: peer.name)
def test_the_program_accepts_its_config(peer: Program, tmp_path: Path) -> None:
    if reason := peer.missing():
        pytest.skip(reason)
    certificate.make(tmp_path)
    config = tmp_path / peer.template
    config.write_text(peer.render(FRONTS, backends.addresses(20_000), tmp_path))
    command = peer.command(config)
    checks = {
        "haproxy": ["haproxy", "-c", "-f", str(config)],
        "nginx": [*command, "-t"],
        "pygobetween": [*command[:-2], "check", *command[-2:]],
    }
    done = subprocess.run(checks[peer.name.partition("+")[0]], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_access_log_is_the_only_difference_of_the_peer_that_measures_it(tmp_path: Path) -> None:
    behind = backends.addresses(20_000)
    plain, logging = (peer.render(FRONTS, behind, tmp_path) for peer in (PYGOBETWEEN, LOGGING))
    assert logging == f'{plain}\n[access_log]\noutput = "{tmp_path}/access.log"\n'


def test_a_program_that_is_not_installed_is_named() -> None:
    missing = Program("none", "none", "", lambda config: [], ["no-such-program", "-v"])
    assert shutil.which("no-such-program") is None
    assert missing.missing() == "no-such-program is not installed"
