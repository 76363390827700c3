import json
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from gobetween_py.log import OURS, configure, reopen


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    yield
    for handler in root.handlers:
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
    for name in OURS:
        logging.getLogger(name).setLevel(logging.NOTSET)


def logged(tmp_path: Path, level: str = "info", form: str = "text", secrets: tuple[str, ...] = ()) -> Path:
    target = tmp_path / "log"
    configure(level, str(target), form, secrets=secrets)
    return target


def test_text_names_level_and_component(tmp_path: Path):
    target = logged(tmp_path)
    logging.getLogger("pygobetween.proxy").warning("%d backends", 3)
    assert target.read_text().endswith("[WARN] (proxy): 3 backends\n")


def test_a_line_below_the_level_is_left_out(tmp_path: Path):
    target = logged(tmp_path, level="error")
    logging.getLogger("pygobetween").warning("unheard")
    logging.getLogger("pygobetween").error("heard")
    assert [line.split(": ")[-1] for line in target.read_text().splitlines()] == ["heard"]


def test_at_debug_the_libraries_tell_what_matters_and_no_more(tmp_path: Path):
    target = logged(tmp_path, level="debug")
    for name in ("urllib3.connectionpool", "docker.utils.config", "a.plugin"):
        logging.getLogger(name).debug("noise")
        logging.getLogger(name).info("news")
    for name in ("pygobetween.proxy", "discovery.loop"):
        logging.getLogger(name).debug("a detail")
    assert [line.split(": ")[-1] for line in target.read_text().splitlines()] == [*["news"] * 3, *["a detail"] * 2]


def test_another_level_counts_from_then_on(tmp_path: Path):
    """As a reload sets it, for us and for the libraries."""
    logged(tmp_path, level="debug")
    target = logged(tmp_path, level="error")
    for name in ("pygobetween.proxy", "discovery.loop", "urllib3"):
        logging.getLogger(name).warning("unheard")
        logging.getLogger(name).error("heard")
    assert [line.split(": ")[-1] for line in target.read_text().splitlines()] == ["heard"] * 3


def test_json_is_an_object_a_line_with_the_trace_inside(tmp_path: Path):
    target = logged(tmp_path, form="json")
    try:
        raise ValueError("no\nway")
    except ValueError:
        logging.getLogger("discovery.loop").exception("failed")
    (line,) = target.read_text().splitlines()
    entry = json.loads(line)
    assert (entry["level"], entry["component"], entry["message"]) == ("error", "discovery.loop", "failed")
    assert "ValueError: no\nway" in entry["trace"]
    assert entry["time"].endswith("+00:00")


@pytest.mark.parametrize("form", ["text", "json"])
def test_secrets_are_masked_in_messages_arguments_and_traces(tmp_path: Path, form: str):
    target = logged(tmp_path, form=form, secrets=("hunter2", "hunter2-longer"))
    log = logging.getLogger("pygobetween")
    log.info("password hunter2")
    log.info("token %s", "hunter2-longer")
    try:
        raise RuntimeError("refused hunter2")
    except RuntimeError:
        log.exception("failed")
    text = target.read_text()
    assert "hunter2" not in text
    assert text.count("***") >= 3
    assert "longer" not in text


def test_a_renamed_log_is_left_alone_after_reopening(tmp_path: Path):
    target = logged(tmp_path)
    log = logging.getLogger("pygobetween")
    log.warning("before")
    old = target.rename(tmp_path / "log.1")
    log.warning("between")
    reopen()
    log.warning("after")
    assert [line.split(": ")[-1] for line in old.read_text().splitlines()] == ["before", "between"]
    assert [line.split(": ")[-1] for line in target.read_text().splitlines()] == ["after"]


def test_a_log_that_cannot_be_opened_again_is_written_on(tmp_path: Path):
    folder = tmp_path / "folder"
    folder.mkdir()
    logged(folder)
    folder.rename(tmp_path / "moved")
    reopen()
    text = (tmp_path / "moved" / "log").read_text()
    assert f"{folder}/log cannot be reopened: No such file or directory; it is written on as it was" in text


def test_a_standard_stream_is_not_touched_by_reopening(capfd: pytest.CaptureFixture[str]):
    configure("info", "stderr", "text")
    reopen()
    logging.getLogger("pygobetween").warning("here")
    assert capfd.readouterr().err.endswith(": here\n")


def test_a_log_that_cannot_be_written_is_told_once_and_when_it_can_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """In a line each, not in a trace for every line that is lost."""
    target = tmp_path / "log"
    target.symlink_to("/dev/full")
    configure("info", str(target), "text")
    logger = logging.getLogger("pygobetween")
    for _ in range(3):
        logger.info("lost")
    assert capsys.readouterr().err == (
        f"pygobetween: {target} cannot be written: No space left on device: lines are lost\n"
    )
    target.unlink()
    reopen()
    logger.info("heard")
    assert "the log can be written again; up to 3 lines are lost" in target.read_text()
    logger.info("and on")
    assert target.read_text().count("again") == 1


def test_a_log_on_a_full_disk_can_be_left_for_another(tmp_path: Path):
    configure("info", "/dev/full", "text")
    logging.getLogger("pygobetween").info("lost")
    target = logged(tmp_path)
    logging.getLogger("pygobetween").info("heard")
    assert target.read_text().endswith("heard\n")
