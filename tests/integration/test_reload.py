"""Reload: what changes, what does not, and what happens when it cannot."""

import json
import re
import signal
import socket
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.faults.servers import CountedBalancer
from tests.integration.reloads import Echo, answers, connect, eventually, refused, reload, server
from tests.services.balancer import Balancer
from tests.services.ports import free_port
from tests.services.proc import descendants
from tests.services.process import LOOPBACK

ROOT = Path(__file__).parents[2]

CONFIG = """
[logging]
output = "stdout"

[metrics]
enabled = true
bind = "127.0.0.1:{metrics}"

"""


class Running:
    """A balancer with a config whose values the test knows, and its metrics."""

    def __init__(self, serve: Serve, backend: str) -> None:
        self.port, self.metrics = free_port(), free_port()
        self.text = CONFIG.format(metrics=self.metrics) + server("web", self.port, backend, shutdown_timeout="60s")
        self.balancer = serve(CountedBalancer(self.text))

    def scrape(self) -> str:
        with urllib.request.urlopen(f"http://{LOOPBACK}:{self.metrics}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text

    def last_line(self) -> str:
        return self.balancer.log_text().splitlines()[-1]


@pytest.fixture
def running(serve: Serve, echo: Echo) -> Running:
    return Running(serve, echo.line)


def with_taken_port(text: str, port: int) -> str:
    """One server is right and new, another's port is somebody else's."""
    other = text.replace('static_list = ["', 'static_list = ["127.0.0.1:1", "')
    return other + server("new", free_port()) + server("bad", port)


def test_a_bad_config_changes_nothing_and_says_why(running: Running):
    """In the log and in the metrics. Sockets that were opened for it are closed again."""
    client = connect(running.port)
    assert answers(client)
    before = running.balancer.holdings()
    with socket.create_server((LOOPBACK, 0)) as taken:
        port = taken.getsockname()[1]
        bad = {
            "": "is empty",
            "\n  \n": "is empty",
            "[servers.web\n": "is no valid TOML",
            running.text + "blance = 1\n": "servers.web.discovery.blance: unknown key",
            running.text.replace("60s", "60"): "servers.web.shutdown_timeout: ",
            with_taken_port(
                running.text, port
            ): f"servers.bad.bind: cannot listen on {LOOPBACK}:{port}: the port is in",
            running.text.replace('"stdout"', '"/no/such/folder/log"'): "logging.output: ",
            running.text.replace(
                f":{running.metrics}", f":{port}"
            ): f"metrics.bind: cannot listen on {LOOPBACK}:{port}",
        }
        for text, why in bad.items():
            reload(running.balancer, text)
            lines = running.balancer.log_text().splitlines()
            reasons = lines[lines.index(next(line for line in reversed(lines) if "nothing has changed" in line)) :]
            assert why in "\n".join(reasons)
            assert answers(client)
    assert running.balancer.holdings() == before
    scraped = running.scrape()
    assert f'gobetween_reloads_total{{outcome="failure"}} {len(bad)}.0' in scraped
    assert "gobetween_reload_succeeded 0.0" in scraped
    reload(running.balancer, running.text)
    assert "gobetween_reload_succeeded 1.0" in running.scrape()
    assert running.last_line().endswith("SIGHUP: reloaded: nothing changed")
    assert answers(connect(running.port))


def test_a_config_file_that_is_gone_changes_nothing(running: Running):
    running.balancer.config.unlink()
    running.balancer.signal(signal.SIGHUP)
    eventually(lambda: "there is no such file" in running.balancer.log_text())
    assert answers(connect(running.port))


def test_a_removed_server_lets_its_connections_end_until_its_timeout(serve: Serve, echo: Echo):
    """Both are refused at once; only the connections of the one without patience are closed."""
    patient, hasty = free_port(), free_port()
    text = server("patient", patient, echo.line, shutdown_timeout="60s")
    text += server("hasty", hasty, echo.line, shutdown_timeout="300ms")
    balancer = serve(CountedBalancer(text))
    before = balancer.holdings()
    stays, goes = connect(patient), connect(hasty)
    assert answers(stays)
    assert answers(goes)
    reload(balancer, "# no servers\n")
    for port in (patient, hasty):
        with pytest.raises(ConnectionRefusedError):
            connect(port)
    assert goes.recv(1) == b""
    eventually(lambda: "hasty: ended, 1 open connections closed" in balancer.log_text())
    assert answers(stays)
    stays.close()
    eventually(lambda: "patient: ended" in balancer.log_text())
    now = balancer.settled({})
    assert [now[kind] for kind in ("Server", "Listener", "Pool", "Loop", "Acceptor", "connections")] == [0] * 6
    assert now["sockets"] == before["sockets"] - 2
    assert now["rows of counters"] == 0
    reload(balancer, text)
    assert answers(connect(hasty))


def test_a_renamed_server_keeps_its_clients_waiting_no_moment(running: Running):
    """The socket goes to the server of the new name; who is connected stays with the old one."""
    client = connect(running.port)
    assert answers(client)
    over = threading.Event()
    failures = []

    def knock() -> None:
        while not over.is_set():
            try:
                with connect(running.port) as knocking:
                    if not answers(knocking):
                        failures.append("cut")
            except OSError as error:
                failures.append(repr(error))

    knocking = threading.Thread(target=knock)
    knocking.start()
    for number in range(10):
        reload(running.balancer, running.text.replace("servers.web", f"servers.web{number}"))
    over.set()
    knocking.join()
    assert failures == []
    assert answers(client)


def test_what_listens_for_http_changes_too(running: Running):
    """The metrics move, and go; a scrape in between is answered by either."""
    before, after = running.metrics, free_port()
    running.metrics = after
    reload(running.balancer, running.text.replace(f":{before}", f":{after}"))
    assert "gobetween_build_info" in running.scrape()
    eventually(lambda: refused(before))
    reload(running.balancer, running.text.replace("enabled = true", "enabled = false"))
    eventually(lambda: refused(after))


def test_the_log_moves(running: Running, tmp_path: Path):
    file = tmp_path / "log.json"
    text = running.text.replace('output = "stdout"', f'output = "{file}"\nformat = "json"')
    running.balancer.config.write_text(text)
    running.balancer.signal(signal.SIGHUP)
    eventually(lambda: file.exists() and "reloaded: other sections: logging" in file.read_text())
    assert all(json.loads(line)["level"] for line in file.read_text().splitlines())


def test_hangups_while_a_reload_is_under_way_are_one_more_reload(running: Running):
    for _ in range(50):
        running.balancer.signal(signal.SIGHUP)
    text = running.text.replace("60s", "59s")
    running.balancer.config.write_text(text)
    running.balancer.signal(signal.SIGHUP)
    eventually(lambda: "changed web (shutdown_timeout)" in running.balancer.log_text())
    assert running.balancer.log_text().count("SIGHUP: reloaded") < 50


def test_systemd_is_told_of_a_reload(running: Running):
    """As Type=notify-reload wants it; a systemd that does not listen holds nothing up."""
    running.balancer.told()
    reload(running.balancer, running.text)
    eventually(lambda: running.balancer.log_text().count("SIGHUP: reloaded") == 1)
    states: list[str] = []
    eventually(lambda: states.extend(running.balancer.told()) or len(states) >= 2)
    begun, ready = states
    assert re.fullmatch(r"RELOADING=1\nMONOTONIC_USEC=\d+", begun)
    assert ready == "READY=1"
    for _ in range(300):
        reload(running.balancer, running.text)
    assert answers(connect(running.port))


SLOW = """
[servers.slow]
bind = "127.0.0.1:{port}"
[servers.slow.discovery]
kind = "exec"
exec_command = ["/bin/sh", "-c", "sleep 60"]
timeout = "60s"
"""


def test_a_first_answer_that_does_not_come_does_not_hold_the_end_up(serve: Serve, echo: Echo):
    text = server("web", free_port(), echo.line)
    balancer = serve(Balancer(text))
    balancer.config.write_text(text + SLOW.format(port=free_port()))
    balancer.signal(signal.SIGHUP)
    process = balancer.process
    assert process is not None
    eventually(lambda: any("sleep 60" in child.command for child in descendants(process.pid)))
    process.terminate()
    assert process.wait(3) == 0
    assert not descendants(process.pid)


def test_nor_does_it_at_the_start(tmp_path: Path):
    file = tmp_path / "lb.toml"
    file.write_text(SLOW.format(port=free_port()))
    process = subprocess.Popen(
        [sys.executable, "-m", "gobetween_py", "-c", file], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    eventually(lambda: any("sleep 60" in child.command for child in descendants(process.pid)))
    process.terminate()
    _, said = process.communicate(timeout=3)
    assert (process.returncode, said) == (0, b"")
