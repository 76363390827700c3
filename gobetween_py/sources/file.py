"""The config in a file."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

from discovery.inotify import changes_of, identity
from gobetween_py.config import sources
from gobetween_py.config.persist import rewrite
from gobetween_py.sources.contract import Reading, Source

QUIET = 0.2
"""Seconds without a further change after which a file is taken for whole: editors write and rename in several steps."""


class FileSource(Source):
    """A file, followed by inotify(7) however it is changed: written in place, replaced, a link set to another one."""

    writable = True

    def __init__(self, path: Path, reading: Reading) -> None:
        super().__init__(str(path), reading)
        self.path = path

    @property
    def described(self) -> dict[str, str]:
        return {"kind": "file", "path": self.name}

    async def store(self, keys: tuple[str, ...], value: object) -> None:
        before, after = await asyncio.to_thread(
            rewrite, self.path, self.format, keys, value, environment=self.reading.environment
        )
        if before == self.text:  # else somebody has edited it, and `changes` has still to tell of it
            self.text = after

    async def _read(self) -> str:
        text = await asyncio.to_thread(sources.read, self.path)
        if text.strip():
            return text
        # Opened for writing just now, most likely: that empties it.
        await asyncio.sleep(QUIET)
        return await asyncio.to_thread(sources.read, self.path)

    async def _moments(self) -> AsyncGenerator[None]:
        async with aclosing(changes_of(self.path)) as changes:
            async for _ in changes:
                seen: object = ...
                while seen != (now := identity(self.path)):
                    seen = now
                    await asyncio.sleep(QUIET)
                yield None
