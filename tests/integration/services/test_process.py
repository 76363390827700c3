"""What every server has in common, shown on a redis."""

import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services import leaks
from tests.services.nginx import Nginx
from tests.services.process import Server, StartError, tcp_answers
from tests.services.redis import Redis, redis_cli


class _Failing(Server):
    name = "failing"

    def command(self) -> Sequence[str | Path]:
        return ["sh", "-c", "echo it went wrong >&2; exit 7"]

    def answers(self) -> bool:
        return False


class _Mute(Server):
    name = "mute"
    patience = 0.3

    def command(self) -> Sequence[str | Path]:
        return ["sh", "-c", "echo thinking; trap '' TERM; sleep 1000"]

    def answers(self) -> bool:
        return False


def test_close_leaves_neither_process_nor_folder() -> None:
    redis = Redis().start()
    pid = redis.pid
    redis.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not redis.folder.exists()
    assert not tcp_answers(redis.port)


def test_restart_keeps_the_port_and_changes_the_process(redis: Redis) -> None:
    port, pid = redis.port, redis.pid
    redis.restart()
    assert redis.pid != pid
    assert redis.port == port
    assert redis_cli(port, "PING") == "PONG"


def test_kill_frees_the_port_at_once(serve: Serve) -> None:
    """nginx has a worker process of its own, which must not go on serving."""
    nginx = serve(Nginx())
    nginx.kill()
    assert not tcp_answers(nginx.port)
    nginx.start()
    assert nginx.answers()


def test_a_server_that_ends_shows_its_status_and_its_log() -> None:
    with pytest.raises(StartError, match=r"(?s)failing ended with status 7.*it went wrong"), _Failing():
        pass


def test_a_server_that_does_not_answer_is_killed_and_shows_its_log() -> None:
    server = _Mute()
    with pytest.raises(StartError, match=r"(?s)mute did not answer.*thinking"):
        server.start()
    assert server.process is None
    server.close()


def test_children_names_a_living_process_and_forgets_a_dead_one(redis: Redis) -> None:
    assert any("redis-server" in process.command for process in leaks.children())
    pid = redis.pid
    redis.stop()
    assert pid not in {process.pid for process in leaks.children()}


def test_an_orphan_is_found_among_the_children() -> None:
    """A daemon leaves its parent; the run adopts it, and would report it at its end."""
    shell = ["sh", "-c", "sleep 987654 >/dev/null & echo $!"]
    daemon = int(subprocess.run(shell, stdout=subprocess.PIPE, check=True).stdout)
    (orphan,) = [process for process in leaks.children() if process.pid == daemon]
    assert orphan.parent == os.getpid()
    os.kill(daemon, signal.SIGKILL)
    os.waitpid(daemon, 0)


def test_the_folder_of_a_running_server_is_a_trace(redis: Redis) -> None:
    assert str(redis.folder) in leaks.traces()
