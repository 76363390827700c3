"""exec: a program's verdict, with real programs, well-behaved and not."""

import asyncio
import os
import signal
import sys
from pathlib import Path

import pytest

from gobetween_py.healthcheck.contract import CheckFailedError, NoVerdictError, Target
from gobetween_py.healthcheck.exec import Exec, ExecOptions

PLACE = Target("web.example", 8000, 0, None)


def script(folder: Path, text: str) -> str:
    """The path of a shell script."""
    file = folder / "check.sh"
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(0o755)
    return str(file)


def check(command: str, **keys: str) -> Exec:
    outputs = {"exec_expected_positive_output": "1", "exec_expected_negative_output": "0"}
    return Exec(ExecOptions.model_validate({"interval": "1s", "exec_command": command} | outputs | keys))


async def failure(command: str) -> str:
    with pytest.raises(CheckFailedError) as raised:
        await check(command).check(PLACE)
    return str(raised.value)


async def no_verdict(command: str) -> str:
    with pytest.raises(NoVerdictError) as raised:
        await check(command).check(PLACE)
    return str(raised.value)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


async def ended(pid: int) -> None:
    async with asyncio.timeout(10):
        while alive(pid):
            await asyncio.sleep(0.01)


async def pid_in(file: Path) -> int:
    async with asyncio.timeout(10):
        while not (file.exists() and file.read_text().endswith("\n")):
            await asyncio.sleep(0.01)
    return int(file.read_text())


async def test_host_and_port_are_its_arguments(tmp_path: Path) -> None:
    command = script(tmp_path, f'[ $# = 2 ] && echo "$@" > {tmp_path}/arguments; printf 1')
    assert await check(command).check(PLACE) == "printed '1'"
    assert (tmp_path / "arguments").read_text() == "web.example 8000\n"


async def test_arguments_are_not_seen_by_a_shell(tmp_path: Path) -> None:
    command = script(tmp_path, f"touch {tmp_path}/ran; printf 1")
    await check(command).check(Target(f"$(rm {tmp_path}/ran)", 1, 0, None))
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize("output", ["1", "1\\n"])
async def test_the_positive_output_is_a_success(tmp_path: Path, output: str) -> None:
    await check(script(tmp_path, f"printf '{output}'")).check(PLACE)


@pytest.mark.parametrize("output", ["0", "0\\n"])
async def test_the_negative_output_is_a_failure(tmp_path: Path, output: str) -> None:
    assert (await failure(script(tmp_path, f"printf '{output}'"))).startswith("printed '0")


@pytest.mark.parametrize("output", ["", "2", "11", "1\\n\\n", " 1", "\\377"])
async def test_any_other_output_says_nothing(tmp_path: Path, output: str) -> None:
    command = script(tmp_path, f"printf '{output}'")
    words = await no_verdict(command)
    assert words.startswith(f"{command} printed '")
    assert words.endswith("', which is neither of the expected outputs")


async def test_no_output_may_be_one_that_is_expected(tmp_path: Path) -> None:
    with pytest.raises(CheckFailedError, match="printed ''"):
        await check(script(tmp_path, "true"), exec_expected_negative_output="").check(PLACE)


async def test_another_exit_status_is_a_failure_whatever_was_printed(tmp_path: Path) -> None:
    command = script(tmp_path, "printf 1; echo no answer >&2; echo at all >&2; exit 3")
    assert await failure(command) == "exited with status 3, with on stderr: no answer | at all"


async def test_death_by_a_signal_is_a_failure(tmp_path: Path) -> None:
    assert await failure(script(tmp_path, "printf 1; kill -SEGV $$")) == "was killed by SIGSEGV"


async def test_a_program_that_is_not_there_is_a_failure(tmp_path: Path) -> None:
    assert await failure(str(tmp_path / "gone")) == f"cannot run {tmp_path}/gone: No such file or directory"


async def test_a_name_is_found_by_path() -> None:
    await check("true", exec_expected_positive_output="").check(PLACE)


async def test_one_that_hangs_is_killed_with_its_children_when_the_check_is_cancelled(tmp_path: Path) -> None:
    """Also children that ignore polite signals, and have no parent any more."""
    command = script(tmp_path, f"(trap '' TERM; sleep 600) & echo $! > {tmp_path}/pid; trap '' TERM; wait; sleep 600")
    running = asyncio.create_task(check(command).check(PLACE))
    child = await pid_in(tmp_path / "pid")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    await ended(child)


async def test_a_child_that_outlives_it_is_killed_and_does_not_hold_up_the_verdict(tmp_path: Path) -> None:
    """Although it holds the output open."""
    command = script(tmp_path, f"sleep 600 & echo $! > {tmp_path}/pid; printf 1")
    await check(command).check(PLACE)
    await ended(await pid_in(tmp_path / "pid"))


async def test_a_child_that_left_the_group_does_not_hold_up_the_verdict(tmp_path: Path) -> None:
    leave = f"setsid sh -c 'echo $$ > {tmp_path}/pid; exec sleep 600' & while [ ! -s {tmp_path}/pid ]; do :; done"
    assert await check(script(tmp_path, f"{leave}; printf 1")).check(PLACE) == "printed '1'"
    os.kill(await pid_in(tmp_path / "pid"), signal.SIGKILL)


async def test_one_that_forks_without_end_is_killed_as_a_whole(tmp_path: Path) -> None:
    command = script(tmp_path, f"echo $$ > {tmp_path}/pid; while :; do sleep 600 & sleep 0.01; done")
    running = asyncio.create_task(check(command).check(PLACE))
    group = await pid_in(tmp_path / "pid")
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    async with asyncio.timeout(10):
        while any(os.getpgid(pid) == group for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if alive(pid)):
            await asyncio.sleep(0.01)


async def test_one_that_floods_is_killed_and_says_nothing(tmp_path: Path) -> None:
    command = script(tmp_path, "exec yes")
    assert await no_verdict(command) == f"{command} printed more than 64 KiB"


async def test_a_flood_of_complaints_is_read_and_dropped(tmp_path: Path) -> None:
    """A full pipe would stop the program."""
    command = script(tmp_path, "head -c 3000000 /dev/zero | tr '\\0' x >&2; echo end >&2; exit 1")
    words = await failure(command)
    assert words.endswith("xxxend")
    assert len(words) < 300


async def test_signals_are_as_a_shell_expects_them(tmp_path: Path) -> None:
    """Python ignores some, which programs would inherit: one before `| head` would go on for ever, or complain."""
    ours = {signal.SIGPIPE, signal.SIGXFSZ}
    assert {signal.getsignal(number) for number in ours} == {signal.SIG_IGN}
    await check(script(tmp_path, f"grep SigIgn /proc/self/status > {tmp_path}/ignored; printf 1")).check(PLACE)
    mask = int((tmp_path / "ignored").read_text().split()[1], 16)  # proc(5): signal 1 is the lowest bit
    assert {number for number in ours if mask >> (number - 1) & 1} == set()


async def test_it_gets_no_files_of_ours_and_nothing_to_read(tmp_path: Path) -> None:
    with open(tmp_path / "kept-open", "w"):
        command = script(tmp_path, f"ls -l /proc/self/fd > {tmp_path}/files; cat > {tmp_path}/input; printf 1")
        await check(command).check(PLACE)
    files = (tmp_path / "files").read_text()
    assert "0 -> /dev/null" in files
    assert f"1 -> {tmp_path}/files" in files
    assert "kept-open" not in files
    assert (tmp_path / "input").read_text() == ""


async def test_nothing_is_left_open(tmp_path: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    for text in ("printf 1", "exit 3", "exec yes", "exec sleep 600"):
        task = asyncio.create_task(check(script(tmp_path, text)).check(PLACE))
        await asyncio.wait((task,), timeout=0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    with pytest.raises(CheckFailedError):
        await check(str(tmp_path / "gone")).check(PLACE)
    async with asyncio.timeout(10):  # a killed program is reaped as soon as it has ended
        while sorted(os.listdir("/proc/self/fd")) != before:
            await asyncio.sleep(0.01)


async def test_running_out_of_processes_says_nothing_of_the_backend(tmp_path: Path) -> None:
    """In a process of an ordinary user, for whom the limit counts."""
    code = """
import asyncio, os, resource
from gobetween_py.healthcheck.contract import NoVerdictError, Target
from gobetween_py.healthcheck.exec import Exec, ExecOptions
options = {"interval": "1s", "exec_command": "/bin/true", "exec_expected_positive_output": "1"}
check = Exec(ExecOptions.model_validate(options))
os.setuid(65534)
resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))
try:
    asyncio.run(check.check(Target("web.example", 8000, 0, None)))
except NoVerdictError as error:
    print(error)
"""
    if os.geteuid() != 0:
        pytest.skip("needs root, to become another user")
    root = Path(__file__).parents[3]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, cwd=root, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    output, _ = await process.communicate()
    assert output.decode() == "cannot run /bin/true now: Resource temporarily unavailable\n"
