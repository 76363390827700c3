"""What the config's source says, beside what runs: read again, and written when something is changed by hand."""

from __future__ import annotations

import asyncio

from gobetween_py.config import Config, ConfigErrors, Problem
from gobetween_py.config.dump import plain
from gobetween_py.config.edit import with_backends, with_table
from gobetween_py.config.merge import Merged, merged
from gobetween_py.reload import Difference, difference
from gobetween_py.sources.contract import Source


class Origin:
    """The config as its source says it.

    Attributes:
        source: None = there is none; the config cannot be read again.
        config: as it was read last, or written since.
    """

    def __init__(self, config: Config, source: Source | None) -> None:
        self.source = source
        self.config = config

    def unsaved(self, running: Config) -> Difference:
        """What was changed by hand, and does not stand in the source."""
        return difference(self.config, running)

    async def read(
        self, running: Config, text: str | ConfigErrors | None = None, *, discard: bool = False
    ) -> tuple[Config, Merged]:
        """What the source says now, and what is to run therefore; `config` is left to the caller.

        Args:
            text: what it says, where that is known.
            discard: whether all that was changed by hand is dropped.

        Raises:
            ConfigErrors, ClashError: it cannot be used.
        """
        if self.source is None:
            raise ConfigErrors([Problem("", "there is no file, URL or key to read the config from")])
        if text is None:
            text = await self.source.read()
        if isinstance(text, ConfigErrors):
            raise text
        if not text.strip():  # cut off while it was written, or by mistake: it would remove all servers
            raise ConfigErrors([Problem(self.source.name, "is empty")])
        # In threads: a long config takes a second to read.
        now = await asyncio.to_thread(self.source.config_of, text)
        return now, await asyncio.to_thread(merged, self.config, running, now, discard=discard)

    async def keep_server(self, running: Config, name: str, data: object) -> None:
        """Write the table of a server, None = it is gone, if `api.persist` says so. Raises PersistError."""
        if running.api.persist and self.source is not None:
            await self.source.store(("servers", name), data)
            self.config = with_table(self.config, name, running.servers.get(name))

    async def keep_backends(self, running: Config, name: str) -> None:
        """Write what is set by hand about a server's backends, likewise."""
        server = running.servers[name]
        if name not in self.config.servers:  # it was made when nothing was written yet
            await self.keep_server(running, name, plain(server, reveal=True))
        elif running.api.persist and self.source is not None:
            overrides = [override.model_dump(exclude_defaults=True) for override in server.backends]
            await self.source.store(("servers", name, "backends"), overrides or None)
            self.config = with_backends(self.config, name, server.backends)
