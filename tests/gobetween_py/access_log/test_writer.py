"""Lines on their way to real files, FIFOs and full disks: nobody waits, and what is lost is counted."""

import asyncio
import logging
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gobetween_py.access_log import writer as module
from gobetween_py.access_log.output import File
from gobetween_py.access_log.writer import BACKLOG, BATCH, OutputError, Writer, Writers
from gobetween_py.config import load
from gobetween_py.config.access_log import AccessLog, Output

PATIENCE = 10.0

SERVERS = """
[servers.{name}]
bind = ":{port}"
discovery = {{ kind = "static", static_list = [] }}
access_log = {{ output = "{output}" }}
"""


async def until(holds) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "FLUSH", 0.02)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
async def writer(path: Path) -> AsyncIterator[Writer]:
    writer = Writer("the log", File(str(path)), asyncio.get_running_loop())
    yield writer
    writer.close()
    await until(lambda: writer.ended(0))


@pytest.fixture
def fifo(tmp_path: Path) -> Path:
    os.mkfifo(tmp_path / "fifo")
    return tmp_path / "fifo"


async def test_a_single_line_is_written_without_another_one_pushing_it(writer: Writer, path: Path):
    writer.write(str, "alone")
    await until(lambda: path.read_text() == "alone\n")


async def test_many_lines_come_in_order(writer: Writer, path: Path):
    lines = [str(number) for number in range(BATCH * 10 + 7)]
    for line in lines:
        writer.write(str, line)
    await until(lambda: path.read_text().splitlines() == lines)
    assert writer.dropped == 0


async def test_a_full_batch_is_written_before_its_time(writer: Writer, path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "FLUSH", 3600)
    for _ in range(BATCH):
        writer.write(str, "x")
    await until(lambda: path.read_text().count("\n") == BATCH)


async def test_lines_are_made_many_at_a_time_and_not_at_all_where_they_are_dropped(
    fifo: Path, monkeypatch: pytest.MonkeyPatch
):
    """So that a connection's end costs next to nothing, and a hanging disk nothing more."""
    monkeypatch.setattr(module, "FLUSH", 3600)
    made: list[int] = []

    def line_of(number: int) -> str:
        made.append(number)
        return "x" * 200

    writer = Writer("the fifo", File(str(fifo)), asyncio.get_running_loop())
    for number in range(BATCH - 1):
        writer.write(line_of, number)
    assert made == []
    writer.write(line_of, BATCH - 1)
    assert made == [*range(BATCH)]
    told = BACKLOG * 2
    for number in range(BATCH, told):
        writer.write(line_of, number)
    assert 0 < writer.dropped == told - len(made)
    writer.close()
    written = await asyncio.get_running_loop().run_in_executor(None, fifo.read_text)
    assert written.count("\n") == len(made)


async def test_closing_writes_what_is_left(path: Path):
    writer = Writer("the log", File(str(path)), asyncio.get_running_loop())
    writer.write(str, "last words")
    writer.close()
    await until(lambda: writer.ended(0))
    assert path.read_text() == "last words\n"


async def test_reopening_splits_the_lines_where_it_was_asked_for(writer: Writer, path: Path):
    for number in range(300):
        writer.write(str, f"old {number}")
    old = path.rename(path.with_suffix(".1"))
    writer.write(str, "old, after the rename")
    writer.reopen()
    writer.write(str, "new")
    await until(lambda: path.exists() and path.read_text() == "new\n")
    assert old.read_text().splitlines() == [*(f"old {number}" for number in range(300)), "old, after the rename"]


async def test_where_it_cannot_be_reopened_it_goes_on_as_it_was(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    folder = tmp_path / "folder"
    folder.mkdir()
    writer = Writer("the log", File(str(folder / "log")), asyncio.get_running_loop())
    folder.rename(tmp_path / "moved")
    writer.reopen()
    writer.write(str, "still")
    await until(lambda: (tmp_path / "moved" / "log").read_text() == "still\n")
    assert "the log cannot be reopened: No such file or directory" in caplog.text
    writer.close()
    await until(lambda: writer.ended(0))


async def test_a_fifo_that_nobody_reads_costs_lines_and_no_time(fifo: Path, caplog: pytest.LogCaptureFixture):
    """Once somebody reads, what was not dropped comes out whole and in order, and new lines do again."""
    writer = Writer("the fifo", File(str(fifo)), asyncio.get_running_loop())
    told = BACKLOG * 2
    for number in range(told):  # in one go: the loop does not even get a turn
        writer.write(str, f"{number:07} {'x' * 100}")
    assert 0 < writer.dropped < told
    assert [record.message for record in caplog.records] == ["the fifo is too slow: lines are dropped"]

    loop = asyncio.get_running_loop()
    received: list[str] = []

    def read(lines: int) -> None:
        with open(fifo) as reader:
            received.extend(reader.readline().rstrip("\n") for _ in range(lines))

    await loop.run_in_executor(None, read, told - writer.dropped)
    numbers = [int(line[:7]) for line in received]
    assert numbers == sorted(set(numbers))
    assert len(numbers) + writer.dropped == told
    dropped = writer.dropped
    writer.write(str, "again")
    await loop.run_in_executor(None, read, 1)
    assert received[-1] == "again"
    assert writer.dropped == dropped
    assert caplog.records[-1].message == f"the fifo keeps up again; {dropped} lines were dropped so far"
    writer.close()
    await until(lambda: writer.ended(0))


async def test_what_a_full_disk_does_not_take_is_counted_and_told_once(path: Path, caplog: pytest.LogCaptureFixture):
    """The path is a link that points to /dev/full first, and to a disk with room then."""
    caplog.set_level(logging.INFO)
    path.symlink_to("/dev/full")
    writer = Writer("the log", File(str(path)), asyncio.get_running_loop())
    for _ in range(BATCH * 3):
        writer.write(str, "x")
    await until(lambda: writer.dropped == BATCH * 3)
    path.unlink()
    path.symlink_to(path.with_suffix(".room"))
    writer.reopen()
    writer.write(str, "y")
    await until(lambda: path.exists() and path.read_text() == "y\n")
    await until(lambda: len(caplog.records) == 2)
    assert [record.message for record in caplog.records] == [
        "the log cannot be written: No space left on device: lines are dropped",
        f"the log is written again; {BATCH * 3} lines were dropped so far",
    ]
    writer.close()
    await until(lambda: writer.ended(0))


async def test_the_end_waits_only_so_long_for_an_output_that_hangs(
    fifo: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    monkeypatch.setattr(module, "FAREWELL", 0.1)
    writers = Writers(asyncio.get_running_loop())
    writer = writers.take(AccessLog(output=Output("file", path=str(fifo))))
    for _ in range(BATCH * 10):
        writer.write(str, "x" * 1000)
    await writers.close()
    assert caplog.records[-1].message == f"{fifo} is too slow: its last {writer.unwritten} lines are lost"
    assert writer.unwritten > 0
    descriptor = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with open(descriptor, "rb", buffering=0) as reader:  # let the thread end
        await until(lambda: (reader.read(1 << 20), writer.ended(0))[1])


async def test_servers_share_an_output_until_the_last_one_is_gone(path: Path):
    writers = Writers(asyncio.get_running_loop())
    settings = AccessLog(output=Output("file", path=str(path)))
    one, other = writers.take(settings), writers.take(AccessLog(output=settings.output, format="json"))
    assert one is other
    writers.give(one)
    other.write(str, "of the other")
    writers.give(other)
    await until(lambda: one.ended(0))
    assert path.read_text() == "of the other\n"
    assert writers.take(settings) is not one
    await writers.close()


async def test_lost_lines_are_counted_beyond_the_life_of_their_output():
    writers = Writers(asyncio.get_running_loop())
    writer = writers.take(AccessLog(output=Output("file", path="/dev/full")))
    writer.write(str, "x")
    writer.flush()
    await until(lambda: writers.dropped == 1)
    writers.give(writer)
    assert writers.dropped == 1


async def test_the_end_waits_for_outputs_that_were_given_back_just_before(path: Path):
    writers = Writers(asyncio.get_running_loop())
    writer = writers.take(AccessLog(output=Output("file", path=str(path))))
    for number in range(5000):
        writer.write(str, str(number))
    writers.give(writer)
    await writers.close()
    assert path.read_text().count("\n") == 5000


async def test_preparing_opens_all_outputs_or_says_whose_cannot_be_opened(path: Path):
    writers = Writers(asyncio.get_running_loop())
    text = SERVERS.format(name="good", port=1, output=path) + SERVERS.format(name="bad", port=2, output="/no/such/log")
    with pytest.raises(OutputError) as refused:
        writers.prepare(load(text).servers)
    assert str(refused.value) == "servers.bad.access_log.output: cannot write /no/such/log: No such file or directory"
    await writers.close()


async def test_what_was_prepared_is_there_to_be_taken(path: Path):
    writers = Writers(asyncio.get_running_loop())
    servers = load(SERVERS.format(name="a", port=1, output=path)).servers
    writers.prepare(servers)
    path.unlink()
    writer = writers.take(servers["a"].access_log)
    writers.sweep()
    assert not path.exists()  # it was not opened again
    writers.give(writer)
    await until(lambda: writer.ended(0))


async def test_what_was_prepared_and_not_taken_is_closed(path: Path):
    def is_open() -> bool:
        return any(os.path.realpath(fd) == str(path) for fd in Path("/proc/self/fd").iterdir())

    writers = Writers(asyncio.get_running_loop())
    writers.prepare(load(SERVERS.format(name="a", port=1, output=path)).servers)
    assert is_open()
    writers.sweep()
    await until(lambda: not is_open())
