"""file: lines, JSON and YAML, with real files and inotify."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.contract import MAX_ANSWER, DiscoveryError
from discovery.document import spec_of
from discovery.file import File, FileOptions
from discovery.yaml_items import MAX_STRETCH, MAX_VALUES, yaml_items

A = BackendSpec("a", 1, 2)


def make(path: Path, **options: Any) -> File:
    return File(FileOptions.model_validate({"kind": "file", "file_path": str(path), **options}))


def replace(path: Path, text: str) -> None:
    new = path.with_name(".new")
    new.write_text(text)
    new.rename(path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("backends", "# all\na:1 weight=2\r\n"),
        ("backends.txt", "a:1 weight=2"),
        ("backends.json", '[{"host": "a", "port": 1, "weight": 2}]'),
        ("backends.json", '["a:1 weight=2"]'),
        ("backends.yaml", "- host: a\n  port: 1\n  weight: 2\n"),
        ("backends.yml", "# all\n- a:1 weight=2\n"),
        ("backends.yml", "---\n- {host: a, port: '1', weight: 2, sni: ~, priority: , more: [{x: 1}]}\n...\n"),
        ("backends.yaml", '[{"host": "a", "port": 1, "weight": 2}]'),
    ],
)
async def test_reads_lines_json_and_yaml_by_the_name_of_the_file(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert await make(tmp_path / name).fetch() == [A]


async def test_the_format_may_be_said(tmp_path: Path) -> None:
    (tmp_path / "backends.conf").write_text("[a:1 weight=2]")
    assert await make(tmp_path / "backends.conf", file_format="yaml").fetch() == [A]


async def test_bad_entries_are_skipped_and_named(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text("- a:1 weight=2\n- b\n- {host: c, port: eighty}\n- [1]\n")
    discovery = make(tmp_path / "b.yaml")
    assert await discovery.fetch() == [A]
    assert list(discovery.skipped._now) == [
        "entry 2: 'b' has no port: write host:port, for example localhost:8000",
        "entry 3: port 'eighty' is not a whole number from 1 to 65535",
        "entry 4: no host (text at 'host')",
    ]


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("b.json", b"{", "is no json file: expected an array"),
        ("b.json", b"[" * 100_000, "is no json file: "),
        ("b", b"\xff", "is no lines file: 'utf-8' codec can't decode byte 0xff"),
        ("b.yaml", b"a: 1", "is no yaml file: the document is no list"),
        ("b.yaml", b"", "is no yaml file: the document is no list"),
        ("b.yaml", b"- [", "is no yaml file: "),
        ("b.yaml", b"- \x01", "is no yaml file: "),
        ("b.yaml", b"- a\n--- \n- b", "is no yaml file: more than one document"),
        ("b.yaml", b"- &x [a]\n- *x", "is no yaml file: aliases are not supported"),
        ("b.yaml", b"- " * 100_000, "is no yaml file: nested more than 32 levels"),
        ("b.yaml", b"[" * 100_000, "is no yaml file: nested more than 32 levels"),
        ("b.yaml", b"- [" + b"a," * MAX_VALUES + b"a]", "is no yaml file: an entry of more than 1000 values"),
        ("b.yaml", b"- '" + b"x " * MAX_STRETCH + b"'", "is no yaml file: more than 1048576 characters from one value"),
        ("b.yaml", b"- a:80\n" + b"# a\n" * MAX_STRETCH, "is no yaml file: more than 1048576 characters from one"),
        ("b", bytes(MAX_ANSWER + 1), "is larger than 8 MiB"),
    ],
)
async def test_what_cannot_be_read_is_a_failure_that_names_the_file(
    tmp_path: Path, name: str, content: bytes, problem: str
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DiscoveryError) as raised:
        await make(tmp_path / name).fetch()
    assert str(raised.value).startswith(f"{tmp_path / name} {problem}")


async def test_what_is_no_file_is_a_failure(tmp_path: Path) -> None:
    """Also a FIFO, which without care would wait for its writer."""
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(DiscoveryError, match="is no regular file"):
        await make(tmp_path / "fifo").fetch()
    with pytest.raises(DiscoveryError, match=r"is no regular file|Is a directory"):
        await make(tmp_path).fetch()
    with pytest.raises(DiscoveryError, match=f"^cannot read {tmp_path}/none: No such file or directory$"):
        await make(tmp_path / "none").fetch()


class Watching:
    """Counts what a watch tells, in the background."""

    def __init__(self, discovery: File) -> None:
        self.told = 0
        self.error: Exception | None = None
        self._discovery = discovery

    async def _run(self) -> None:
        async with contextlib.aclosing(self._discovery.watch()) as changes:  # type: ignore[type-var]
            try:
                async for _ in changes:
                    self.told += 1
            except DiscoveryError as error:
                self.error = error

    async def until_told(self, more_than: int) -> None:
        async with asyncio.timeout(5):
            while self.told <= more_than:
                await asyncio.sleep(0.001)

    async def __aenter__(self) -> "Watching":
        self._task = asyncio.create_task(self._run())
        await self.until_told(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


@pytest.fixture
async def watching(tmp_path: Path) -> AsyncIterator[Watching]:
    (tmp_path / "backends").write_text("a:1\n")
    async with Watching(make(tmp_path / "backends")) as watching:
        yield watching


async def test_rewriting_in_place_is_seen(tmp_path: Path, watching: Watching) -> None:
    (tmp_path / "backends").write_text("b:1\n")
    await watching.until_told(1)


async def test_replacement_by_rename_is_seen_every_time(tmp_path: Path, watching: Watching) -> None:
    for _ in range(10):
        told = watching.told
        replace(tmp_path / "backends", "b:1\n")
        await watching.until_told(told)


async def test_removal_and_return_are_seen(tmp_path: Path, watching: Watching) -> None:
    (tmp_path / "backends").unlink()
    await watching.until_told(1)
    told = watching.told
    (tmp_path / "backends").write_text("a:1\n")
    await watching.until_told(told)


async def test_a_file_just_created_is_told_of_only_when_it_was_written(tmp_path: Path, watching: Watching) -> None:
    """An empty file is an empty pool: reading too early would drop all backends for a moment."""
    (tmp_path / "backends").unlink()
    await watching.until_told(1)
    told = watching.told
    with (tmp_path / "backends").open("w") as file:
        await asyncio.sleep(0.1)
        assert watching.told == told
        file.write("a:1\n")
    await watching.until_told(told)


async def test_other_files_of_the_folder_do_not_matter(tmp_path: Path, watching: Watching) -> None:
    told = watching.told
    (tmp_path / "other").write_text("x")
    (tmp_path / "other").rename(tmp_path / "another")
    await asyncio.sleep(0.1)
    assert watching.told == told


async def test_a_link_that_is_swapped_further_up_is_seen(tmp_path: Path) -> None:
    """As Kubernetes does it: file -> ..data/file, and ..data -> a folder of the day."""
    for day, text in ("1", "a:1\n"), ("2", "b:1\n"), ("3", "c:1\n"):
        (tmp_path / f"..{day}").mkdir()
        (tmp_path / f"..{day}" / "backends").write_text(text)
    (tmp_path / "..data").symlink_to("..1")
    (tmp_path / "backends").symlink_to("..data/backends")
    discovery = make(tmp_path / "backends")
    async with Watching(discovery) as watching:
        for day, host in ("2", "b"), ("3", "c"):
            told = watching.told
            (tmp_path / "..new").symlink_to(f"..{day}")
            (tmp_path / "..new").rename(tmp_path / "..data")
            await watching.until_told(told)
            assert await discovery.fetch() == [BackendSpec(host, 1)]
        await asyncio.sleep(0.05)
        told = watching.told
        (tmp_path / "..3" / "backends").write_text("d:1\n")
        await watching.until_told(told)


async def test_the_folder_going_away_ends_the_watch_with_a_reason(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    async with Watching(make(folder / "backends")) as watching:
        folder.rmdir()
        async with asyncio.timeout(5):
            while watching.error is None:
                await asyncio.sleep(0.001)
    assert str(watching.error) == f"the folder {folder} is gone"


async def test_a_watch_that_ends_closes_its_inotify(tmp_path: Path) -> None:
    before = set(os.listdir("/proc/self/fd"))
    for _ in range(3):
        async with Watching(make(tmp_path / "backends")):
            pass
    assert set(os.listdir("/proc/self/fd")) <= before


@pytest.mark.parametrize("options", [{}, {"file_path": ""}, {"file_path": "/a", "file_format": "toml"}])
def test_options_are_validated(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="file_"):
        FileOptions.model_validate({"kind": "file", **options})


@given(st.text(st.sampled_from("-: \n[]{},'\"&*!|>%@#ahostport1~?\t\0\ud800"), max_size=40))
def test_any_text_has_yaml_items_or_a_value_error(text: str) -> None:
    try:
        entries = list(yaml_items(text))
    except ValueError:
        return
    for entry in entries:
        with contextlib.suppress(ValueError):
            assert spec_of(entry).host
