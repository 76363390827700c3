"""exec with a real script, with traffic."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.integration.discovery import scenarios
from tests.integration.discovery.traffic import Identity, Traffic


class Script:
    """A shell script that prints a file; failing, it complains and exits with 1."""

    def __init__(self, folder: Path) -> None:
        self._list = folder / "list"
        self._script = folder / "script"
        self._write(f"cat '{self._list}'")
        self.discovery = f'kind = "exec"\nexec_command = ["{self._script}"]\ninterval = "200ms"\ntimeout = "1s"'

    def _write(self, line: str) -> None:
        new = self._script.with_suffix(".new")
        new.write_text(f"#!/bin/sh\n{line}\n")
        new.chmod(0o755)
        new.rename(self._script)

    async def publish(self, backends: Sequence[Identity]) -> None:
        self._write(f"cat '{self._list}'")
        await self.write("".join(f"{backend.address}\n" for backend in backends).encode())

    async def write(self, content: bytes) -> None:
        new = self._list.with_suffix(".new")
        new.write_bytes(content)
        new.rename(self._list)

    async def write_gigabyte(self) -> None:
        self._write("head -c 1073741824 /dev/zero")

    async def fail(self) -> None:
        self._write("echo cannot reach the registry >&2; exit 1")

    async def recover(self) -> None:
        self._write(f"cat '{self._list}'")

    def forbid(self) -> None:
        self._script.chmod(0o644)

    def hang(self) -> None:
        self._write("sleep 600 & wait")


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path)


async def test_the_set_grows_and_shrinks_without_a_failed_connection(script: Script) -> None:
    await scenarios.grows_and_shrinks(script)


async def test_the_script_fails_and_works_again_under_keeplast(script: Script) -> None:
    await scenarios.dies_under_keeplast(script)


async def test_the_script_fails_and_works_again_under_setempty(script: Script) -> None:
    await scenarios.dies_under_setempty(script)


async def test_the_script_fails_at_first(script: Script) -> None:
    await scenarios.is_dead_at_the_start(script)


async def test_a_script_that_hangs_is_killed_with_its_children_while_traffic_goes_on(script: Script) -> None:
    """The run of the tests ends with a look at what processes are left."""
    async with Identity("a") as a:
        await script.publish([a])
        async with Traffic(script.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                script.hang()
                await traffic.logged("/script within 1s; the last 1 backends are kept")
                await script.recover()
                await traffic.logged("answers again: 1 backends")


async def test_malformed_and_hostile_output_does_not_touch_the_traffic(script: Script) -> None:
    await scenarios.goes_mad(script)


async def test_a_script_that_may_not_be_run_is_a_failure(script: Script) -> None:
    async with Identity("a") as a:
        await script.publish([a])
        async with Traffic(script.discovery) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                script.forbid()
                await traffic.logged("/script: Permission denied; the last 1 backends are kept")
                await script.recover()
                await traffic.logged("answers again: 1 backends")
