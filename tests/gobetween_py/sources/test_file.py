"""A config file, followed however it is changed."""

import asyncio
import os
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import pytest

from discovery.backoff import Pace
from gobetween_py.config import ConfigErrors
from gobetween_py.config.persist import PersistError
from gobetween_py.sources.contract import Reading
from gobetween_py.sources.file import QUIET, FileSource

ONE, TWO = '[logging]\nlevel = "info"\n', '[logging]\nlevel = "warn"\n'


class Followed:
    """What a source tells of, collected."""

    def __init__(self, source: FileSource) -> None:
        self.source = source
        self.told: list[str] = []

    async def collect(self) -> None:
        async with aclosing(self.source.changes(Pace(first=0.1))) as changes:
            async for text in changes:
                self.told.append(str(text))

    async def until(self, *told: str) -> None:
        """Wait until this, and nothing else, was told."""
        async with asyncio.timeout(10):
            while len(self.told) < len(told):
                await asyncio.sleep(0.02)
        await asyncio.sleep(2 * QUIET)
        assert self.told == list(told)


@asynccontextmanager
async def followed(path: Path) -> AsyncGenerator[Followed]:
    source = FileSource(path, Reading())
    await source.read()
    following = Followed(source)
    task = asyncio.create_task(following.collect())
    await asyncio.sleep(3 * QUIET)  # it has looked once
    yield following
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "lb.toml"
    path.write_text(ONE)
    return path


async def in_place(file: Path) -> None:
    """nano, `>`, cp."""
    file.write_text(TWO)


async def in_pieces(file: Path) -> None:
    """A slow writer: nobody reads until it closes the file."""
    with file.open("w") as stream:
        for character in TWO:
            stream.write(character)
            stream.flush()
            await asyncio.sleep(0.02)


async def by_rename(file: Path) -> None:
    """sed -i, emacs, ansible."""
    fresh = file.with_suffix(".new")
    fresh.write_text(TWO)
    fresh.replace(file)


async def by_backup(file: Path) -> None:
    """vim: the old file gets another name, and the new one is written slowly."""
    backup = file.with_name("lb.toml~")
    file.rename(backup)
    await asyncio.sleep(0.05)
    await in_pieces(file)
    backup.unlink()


async def from_another_folder(file: Path) -> None:
    folder = file.parent / "other"
    folder.mkdir()
    (folder / "lb.toml").write_text(TWO)
    (folder / "lb.toml").rename(file)


async def deleted_and_made(file: Path) -> None:
    file.unlink()
    file.write_text(TWO)


async def in_a_burst(file: Path) -> None:
    for _ in range(50):
        await by_rename(file)
        file.touch()


@pytest.mark.parametrize(
    "save", [in_place, in_pieces, by_rename, by_backup, from_another_folder, deleted_and_made, in_a_burst]
)
async def test_a_file_saved_in_any_way_is_told_of_once(save: Callable[[Path], Awaitable[None]], file: Path):
    async with followed(file) as following:
        await save(file)
        await following.until(TWO)


async def test_what_changes_without_another_text_is_not_told_of(file: Path):
    async with followed(file) as following:
        file.chmod(0o600)
        file.touch()
        file.write_text(ONE)
        (file.parent / "lb.toml.log").write_text("something else")
        await following.until()
        file.write_text(TWO)
        await following.until(TWO)


async def test_a_link_that_is_set_to_another_file_is_told_of(tmp_path: Path):
    """As Kubernetes replaces a ConfigMap: lb.toml -> ..data/lb.toml, ..data -> a folder of the day."""
    for day, text in (("monday", ONE), ("tuesday", TWO)):
        (tmp_path / day).mkdir()
        (tmp_path / day / "lb.toml").write_text(text)
    (tmp_path / "..data").symlink_to("monday")
    link = tmp_path / "lb.toml"
    link.symlink_to("..data/lb.toml")
    async with followed(link) as following:
        (tmp_path / "..new").symlink_to("tuesday")
        (tmp_path / "..new").rename(tmp_path / "..data")
        await following.until(TWO)


async def test_a_file_that_is_gone_is_told_of_once_and_again_when_it_is_back(file: Path):
    """Also when it says what it said before: the failure is over, which metrics and the API are to tell."""
    async with followed(file) as following:
        file.unlink()
        gone = f"{file}: there is no such file"
        await following.until(gone)
        file.write_text(ONE)
        await following.until(gone, ONE)
        file.write_text(TWO)
        await following.until(gone, ONE, TWO)


async def test_a_file_that_is_read_between_its_emptying_and_its_text_is_read_again(file: Path):
    file.write_text("")
    reading = asyncio.create_task(FileSource(file, Reading()).read())
    await asyncio.sleep(QUIET / 2)
    assert not reading.done()
    file.write_text(TWO)
    assert await reading == TWO


async def test_a_folder_that_is_replaced_is_followed(tmp_path: Path):
    folder = tmp_path / "etc"
    folder.mkdir()
    file = folder / "lb.toml"
    file.write_text(ONE)
    async with followed(file) as following:
        folder.rename(tmp_path / "old")
        folder.mkdir()
        file.write_text(TWO)
        async with asyncio.timeout(10):
            while TWO not in following.told:
                await asyncio.sleep(0.02)


async def test_what_is_stored_is_not_told_of(file: Path):
    async with followed(file) as following:
        await following.source.store(("logging", "format"), "json")
        assert file.read_text() == ONE + 'format = "json"\n'
        await following.until()


async def test_what_somebody_else_wrote_just_before_is_told_of(file: Path):
    """Together with what was stored, once."""
    async with followed(file) as following:
        file.write_text(TWO)
        await following.source.store(("logging", "format"), "json")
        await following.until(TWO + 'format = "json"\n')


async def test_what_cannot_be_stored_is_told(file: Path):
    source = FileSource(file.parent / "not-there.toml", Reading())
    with pytest.raises(PersistError, match="there is no such file"):
        await source.store(("logging", "format"), "json")


async def test_a_file_that_cannot_be_read_is_one_line(tmp_path: Path):
    for path, why in ((tmp_path / "lb.toml", "there is no such file"), (tmp_path, "is a directory")):
        with pytest.raises(ConfigErrors, match=why) as refused:
            await FileSource(path, Reading()).read()
        assert str(refused.value).startswith(f"{path}: ")


def test_the_text_is_read_as_asked_for(file: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LB_LEVEL", "debug")
    text = '{"logging": {"level": "${LB_LEVEL}", "colour": "red"}}'
    source = FileSource(file, Reading("json", environment=True, lenient=True))
    warnings: list[str] = []
    config = source.config_of(text, lambda problem: warnings.append(str(problem)))
    assert config.logging.level == "debug"
    assert warnings == ["logging.colour: unknown key; allowed: level, output, format"]
    assert FileSource(Path("lb.json"), Reading()).format == "json"
    assert FileSource(Path("lb.conf"), Reading()).format == "toml"


def test_files_that_the_config_names_must_be_there(file: Path):
    assert not os.path.exists("/no/such/folder")
    with pytest.raises(ConfigErrors, match=r"logging\.output: '/no/such/folder/log' cannot be written"):
        FileSource(file, Reading()).config_of('[logging]\noutput = "/no/such/folder/log"\n')
