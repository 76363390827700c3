"""file with traffic: changes are seen by inotify alone, no interval is set."""

import os
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.discovery import scenarios
from tests.integration.discovery.traffic import Identity


class YamlFile:
    """A file that is replaced by rename; to fail, it is taken away."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "backends.yaml"
        self._away = folder / "away.yaml"
        self._place = self._file
        self.discovery = f'kind = "file"\nfile_path = "{self._file}"'

    async def publish(self, backends: Sequence[Identity]) -> None:
        lines = [f"- {{host: {backend.host}, port: {backend.port}}}\n" for backend in backends]
        await self.write(("".join(lines) or "[]").encode())

    async def write(self, content: bytes) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(content)
        new.rename(self._place)

    async def write_gigabyte(self) -> None:
        new = self._file.with_suffix(".new")
        new.write_bytes(b"")
        os.truncate(new, 1 << 30)
        new.rename(self._place)

    async def fail(self) -> None:
        self._file.rename(self._away)
        self._place = self._away

    async def recover(self) -> None:
        self._away.rename(self._file)
        self._place = self._file


@pytest.fixture
def file(tmp_path: Path) -> YamlFile:
    return YamlFile(tmp_path)


async def test_the_set_grows_and_shrinks_without_a_failed_connection(file: YamlFile) -> None:
    await scenarios.grows_and_shrinks(file)


async def test_the_file_goes_away_and_comes_back_under_keeplast(file: YamlFile) -> None:
    await scenarios.dies_under_keeplast(file)


async def test_the_file_goes_away_and_comes_back_under_setempty(file: YamlFile) -> None:
    await scenarios.dies_under_setempty(file)


async def test_the_file_comes_after_the_balancer(file: YamlFile) -> None:
    await scenarios.is_dead_at_the_start(file)


async def test_malformed_and_hostile_content_does_not_touch_the_traffic(file: YamlFile) -> None:
    await scenarios.goes_mad(file)
