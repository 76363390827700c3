"""exec: a program's output, with real programs."""

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.contract import DiscoveryError
from discovery.exec import Exec, ExecOptions


def make(*command: str) -> Exec:
    return Exec(ExecOptions.model_validate({"kind": "exec", "exec_command": command}))


def shell(script: str) -> Exec:
    """The shell is the program here; the kind itself uses none."""
    return make("/bin/sh", "-c", script)


async def test_reads_the_backend_lines_of_a_script(tmp_path: Path) -> None:
    script = tmp_path / "backends.sh"
    script.write_text('#!/bin/sh\necho "$1:8000 weight=1"\necho "$1:8001 weight=2 sni=host.com"\n')
    script.chmod(0o755)
    assert await make(str(script), "localhost").fetch() == [
        BackendSpec("localhost", 8000),
        BackendSpec("localhost", 8001, 2, sni="host.com"),
    ]


async def test_arguments_are_not_seen_by_a_shell() -> None:
    discovery = make("/bin/echo", "a:1", "sni=$(id);`id`|x")
    assert await discovery.fetch() == [BackendSpec("a", 1, sni="$(id);`id`|x")]


async def test_no_output_is_no_backends() -> None:
    assert await make("/bin/true").fetch() == []


async def test_bad_lines_are_skipped_and_named() -> None:
    discovery = shell("echo a:1; echo what; echo '# c'; printf 'b:2\\r\\n'")
    assert await discovery.fetch() == [BackendSpec("a", 1), BackendSpec("b", 2)]
    assert list(discovery.skipped._now) == ["line 2: 'what' has no port: write host:port, for example localhost:8000"]


async def test_another_exit_status_is_a_failure_whatever_was_printed() -> None:
    with pytest.raises(
        DiscoveryError, match=r"^/bin/sh exited with status 3, with on stderr: no registry \| try again$"
    ):
        await shell("echo a:1; echo no registry >&2; echo try again >&2; exit 3").fetch()


async def test_death_by_a_signal_is_a_failure() -> None:
    with pytest.raises(DiscoveryError, match=r"^/bin/sh was killed by SIGTERM$"):
        await shell("kill -TERM $$").fetch()


@pytest.mark.parametrize(
    ("content", "mode", "reason"),
    [
        (None, 0, "No such file or directory"),
        ("x", 0o644, "Permission denied"),
        ("no magic", 0o755, "Exec format error"),
    ],
)
async def test_a_program_that_cannot_be_run_says_why(
    tmp_path: Path, content: str | None, mode: int, reason: str
) -> None:
    program = tmp_path / "program"
    if content is not None:
        program.write_text(content)
        program.chmod(mode)
    with pytest.raises(DiscoveryError) as raised:
        await make(str(program)).fetch()
    assert str(raised.value) == f"cannot run {program}: {reason}"


def _lives(pid: int) -> bool:
    try:
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


async def _ended(pid: int) -> None:
    async with asyncio.timeout(10):
        while _lives(pid):
            await asyncio.sleep(0.01)


async def _pids(file: Path) -> list[int]:
    async with asyncio.timeout(10):
        while not file.exists() or len(file.read_text().split()) < 2:
            await asyncio.sleep(0.01)
    return [int(word) for word in file.read_text().split()]


async def test_at_the_timeout_the_whole_process_group_is_killed(tmp_path: Path) -> None:
    """Children too, and those that ignore polite signals."""
    file = tmp_path / "pids"
    script = f"trap '' TERM INT HUP; (trap '' TERM; sleep 600) & echo $$ $! > {file}.new; mv {file}.new {file}; wait"
    fetch = asyncio.create_task(shell(script).fetch())
    pids = await _pids(file)
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    for pid in pids:
        await _ended(pid)


async def test_a_fetch_that_is_given_up_while_its_program_starts_leaves_nothing_running(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    fetch = asyncio.create_task(shell(f"sleep 600 & echo $$ $! > {file}.new; mv {file}.new {file}; wait").fetch())
    while not file.exists():
        await asyncio.sleep(0)
        time.sleep(0.1)  # the program gets on, and the event loop hears nothing of it
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    for pid in await _pids(file):
        await _ended(pid)


async def test_a_child_that_keeps_the_output_open_is_killed_too_although_the_program_ended(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    fetch = asyncio.create_task(shell(f"sleep 600 & echo $$ $! > {file}.new; mv {file}.new {file}; echo a:1").fetch())
    pids = await _pids(file)
    await _ended(pids[0])
    fetch.cancel()
    with pytest.raises(asyncio.CancelledError):
        await fetch
    await _ended(pids[1])


async def test_endless_output_is_a_failure_and_its_program_is_killed(tmp_path: Path) -> None:
    file = tmp_path / "pids"
    with pytest.raises(DiscoveryError, match="printed more than 8 MiB"):
        await shell(f"echo $$ $$ > {file}; exec cat /dev/zero").fetch()
    await _ended((await _pids(file))[0])


async def test_endless_errors_are_read_and_dropped() -> None:
    with pytest.raises(DiscoveryError) as raised:
        await shell("head -c 20000000 /dev/zero | tr '\\0' x >&2; echo the end >&2; exit 1").fetch()
    assert str(raised.value).endswith("the end")
    assert len(str(raised.value)) < 500


async def test_complaints_of_a_program_that_succeeds_are_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    discovery = shell("echo a:1; echo cache is old >&2")
    for _ in range(3):
        await discovery.fetch()
    assert caplog.messages == ["/bin/sh on stderr: cache is old"]
    assert caplog.records[0].levelno == logging.WARNING


async def test_binary_output_is_a_failure() -> None:
    with pytest.raises(DiscoveryError, match=r"printed no UTF-8 text \(at byte 3\)"):
        await shell("printf 'a:1\\200'").fetch()


async def test_output_of_another_kind_is_a_failure() -> None:
    with pytest.raises(DiscoveryError, match="echo printed no list of backends: none of its lines is a backend"):
        await make("echo", "usage: backends [--zone ZONE]").fetch()


async def test_nothing_of_ours_leaks_into_the_program() -> None:
    """Standard input is empty, and no other file is open in it but what we were given ourselves to pass on."""
    count = "len(os.listdir('/proc/self/fd'))"
    given = subprocess.run(
        [sys.executable, "-c", f"import os; print({count})"], capture_output=True, check=True, close_fds=False
    )
    code = f"import os, sys; print('a:1' + sys.stdin.read()); sys.exit({count} - {int(given.stdout)})"
    ours = os.open("/dev/null", os.O_RDONLY)
    try:
        assert await make(sys.executable, "-c", code).fetch() == [BackendSpec("a", 1)]
    finally:
        os.close(ours)


@pytest.mark.parametrize("command", [[], "ls -l", [7], None])
def test_options_are_validated(command: object) -> None:
    with pytest.raises(ValidationError, match="exec_command"):
        ExecOptions.model_validate({"kind": "exec", "exec_command": command})
