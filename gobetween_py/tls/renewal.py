"""Certificates are renewed: follow their files, and have new connections use what is in them now."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from contextlib import aclosing
from pathlib import Path

from discovery.contract import DiscoveryError
from discovery.inotify import changes_of, identity
from gobetween_py.tls.contexts import TlsError

log = logging.getLogger("pygobetween.tls")

QUIET = 0.5
"""Seconds without a further change after which files count as whole: a certificate and its key are written in turn."""

AGAIN = 5.0
"""Seconds until files that cannot be watched are tried again."""


class Renewal:
    """Calls `renew` when one of the files has changed. What is in use stays in use until the new is known to be good.

    Args:
        name: for the log, "servers.NAME.tls".
        renew: loads the files and uses them; raises TlsError.
    """

    def __init__(self, name: str, files: Iterable[str], renew: Callable[[], None]) -> None:
        self._name = name
        self._files = sorted({Path(file) for file in files})
        self._renew = renew
        self._changed = asyncio.Event()
        self._known = self._identities()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for file in self._files:
                tasks.create_task(self._follow(file))
            while True:
                await self._changed.wait()
                await self._settle()
                now = self._identities()
                if now != self._known:
                    self._known = now
                    self._load()

    async def _settle(self) -> None:
        while self._changed.is_set():
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(QUIET):
                    await self._changed.wait()

    def _load(self) -> None:
        try:
            self._renew()
        except TlsError as error:
            key = ".".join(map(str, error.key))
            log.error("%s.%s: %s; the certificates in use stay until that is mended", self._name, key, error)
        else:
            log.info("%s: certificates loaded anew", self._name)

    async def _follow(self, file: Path) -> None:
        while True:
            with contextlib.suppress(OSError, DiscoveryError):
                async with aclosing(changes_of(file)) as changes:
                    async for _ in changes:
                        self._changed.set()
            await asyncio.sleep(AGAIN)

    def _identities(self) -> list[object]:
        return [identity(file) for file in self._files]
