"""Files, streams and syslog, the real ones: what is written, and what is told when it cannot be."""

import errno
import os
import re
import resource
import socket
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.access_log.output import File, Stream, Syslog, pieces, target_of
from gobetween_py.config.access_log import Output


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: a write stops in the middle, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "access.log"


@pytest.fixture
def file(path: Path) -> Iterator[File]:
    file = File(str(path))
    file.open()
    yield file
    file.close()


def test_a_file_is_appended_to(path: Path):
    path.write_text("before\n")
    file = File(str(path))
    file.open()
    assert file.write(["a", "b"]) == (2, None)
    file.close()
    assert path.read_text() == "before\na\nb\n"


def test_a_new_file_is_not_for_everybody_to_read(file: File, path: Path):
    assert stat.S_IMODE(path.stat().st_mode) & 0o007 == 0


def test_after_a_rename_the_same_name_is_a_new_file(file: File, path: Path):
    file.write(["old"])
    path.rename(path.with_suffix(".1"))
    file.write(["old too"])
    file.open()
    file.write(["new"])
    assert path.with_suffix(".1").read_text() == "old\nold too\n"
    assert path.read_text() == "new\n"


def test_a_file_that_cannot_be_opened_again_is_written_on(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    file = File(str(folder / "log"))
    file.open()
    moved = folder.rename(tmp_path / "moved")
    with pytest.raises(FileNotFoundError):
        file.open()
    assert file.write(["still"]) == (1, None)
    file.close()
    assert (moved / "log").read_text() == "still\n"


def test_a_full_disk_is_told():
    full = File("/dev/full")
    full.open()
    written, failure = full.write(["a", "b"])
    assert written == 0
    assert failure is not None
    assert failure.errno == errno.ENOSPC
    full.close()


def test_lines_that_went_out_before_the_disk_was_full_are_not_lost(file: File, path: Path):
    """And the one that was cut in the middle does not run into the next one."""
    with file_size_limit(10):
        written, failure = file.write(["first", "second", "third"])
        assert written == 1
        assert failure is not None
        assert failure.errno == errno.EFBIG
    assert file.write(["fourth"]) == (1, None)
    assert path.read_text() == "first\nseco\nfourth\n"


def test_a_write_that_failed_as_a_whole_leaves_no_trace(file: File, path: Path):
    file.write(["first"])
    with file_size_limit(6):
        assert file.write(["second"])[0] == 0
    file.write(["third"])
    assert path.read_text() == "first\nthird\n"


def test_opening_a_fifo_does_not_wait_for_a_reader(tmp_path: Path):
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    file = File(str(fifo))
    file.open()
    assert file.write(["early"]) == (1, None)
    with open(os.open(fifo, os.O_RDONLY), "rb", buffering=0) as reader:
        assert reader.read(100) == b"early\n"
    file.close()


def test_a_stream_that_somebody_made_non_blocking_gets_every_line():
    outlet, inlet = os.pipe()
    os.set_blocking(inlet, False)
    lines = [f"{number:05}" * 20 for number in range(5000)]
    received = bytearray()

    def read() -> None:
        while data := os.read(outlet, 1 << 16):
            received.extend(data)

    reader = threading.Thread(target=read)
    reader.start()
    assert Stream(inlet).write(lines) == (5000, None)
    os.close(inlet)
    reader.join()
    os.close(outlet)
    assert received.decode().splitlines() == lines


def test_a_stream_whose_reader_is_gone_is_told():
    outlet, inlet = os.pipe()
    os.close(outlet)
    written, failure = Stream(inlet).write(["a"])
    assert written == 0
    assert isinstance(failure, BrokenPipeError)
    os.close(inlet)


@given(
    st.lists(st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]), max_size=60)),
    st.integers(1, 100),
)
def test_pieces_end_with_lines_and_are_no_larger_than_asked(lines: list[str], size: int):
    found = list(pieces(lines, size))
    assert b"".join(found) == "".join(f"{line}\n" for line in lines).encode()
    assert all(piece.endswith(b"\n") for piece in found)
    assert all(len(piece) <= size or piece.count(b"\n") == 1 for piece in found)


def test_lines_of_two_writers_to_one_pipe_come_whole():
    """The application's log may go to the same standard output."""
    outlet, inlet = os.pipe()
    lines = ["a" * 300] * 3000
    other = b"b" * 300 + b"\n"
    writing = threading.Thread(target=lambda: [os.write(inlet, other) for _ in range(3000)])
    logging = threading.Thread(target=Stream(inlet).write, args=(lines,))
    writing.start()
    logging.start()
    received = bytearray()
    while len(received) < 6000 * 301:
        received += os.read(outlet, 1 << 16)
    writing.join()
    logging.join()
    os.close(inlet)
    os.close(outlet)
    assert set(received.decode().splitlines()) == {"a" * 300, "b" * 300}


class Daemon:
    """A syslog daemon's socket."""

    def __init__(self, address: str | tuple[str, int]) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.settimeout(10)
        self.socket.bind(address)

    def received(self) -> str:
        return self.socket.recv(65536).decode()


def test_a_local_syslog_gets_the_old_form(tmp_path: Path):
    """RFC 3164 without a host name, as syslog(3) writes it."""
    daemon = Daemon(str(tmp_path / "log"))
    syslog = target_of(Output.parse(f"syslog:{tmp_path}/log"), "local3")
    syslog.open()
    assert syslog.write(["a line", "b"]) == (2, None)
    first = daemon.received()
    priority = (16 + 3) * 8 + 6
    assert re.fullmatch(
        rf"<{priority}>[A-Z][a-z]{{2}} [ \d]\d \d\d:\d\d:\d\d pygobetween\[{os.getpid()}\]: a line", first
    )
    assert daemon.received().endswith(": b")
    syslog.close()
    daemon.socket.close()


def test_syslog_over_udp_gets_the_new_form():
    """RFC 5424."""
    daemon = Daemon(("127.0.0.1", 0))
    syslog = target_of(Output.parse(f"syslog:127.0.0.1:{daemon.socket.getsockname()[1]}"), "daemon")
    syslog.open()
    assert syslog.write(["grüße"]) == (1, None)
    host = re.escape(socket.gethostname())
    assert re.fullmatch(
        rf"<30>1 \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ {host} pygobetween {os.getpid()} access - grüße", daemon.received()
    )
    syslog.close()
    daemon.socket.close()


def test_a_syslog_daemon_that_is_not_there_is_told_at_once(tmp_path: Path):
    with pytest.raises(FileNotFoundError):
        Syslog(Output("syslog", path=str(tmp_path / "log")), "local0").open()


def test_a_syslog_daemon_that_was_restarted_gets_the_next_line(tmp_path: Path):
    path = tmp_path / "log"
    daemon = Daemon(str(path))
    syslog = Syslog(Output("syslog", path=str(path)), "local0")
    syslog.open()
    syslog.write(["one"])
    daemon.socket.close()
    written, failure = syslog.write(["lost", "lost too"])
    assert written == 0
    assert isinstance(failure, ConnectionRefusedError)
    path.unlink()
    daemon = Daemon(str(path))
    assert syslog.write(["two"]) == (1, None)
    assert daemon.received().endswith(": two")
    daemon.socket.close()
    path.unlink()
    daemon = Daemon(str(path))
    assert syslog.write(["three"]) == (1, None)
    assert daemon.received().endswith(": three")
    syslog.close()
    daemon.socket.close()
