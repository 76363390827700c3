"""Changes by hand to the backends of a running server: added, removed, weighted otherwise, drained, taken out."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from gobetween_py.config.override import Override
from gobetween_py.overlay import Key
from gobetween_py.proxy.reason import Reason

if TYPE_CHECKING:
    from gobetween_py.server import Server

log = logging.getLogger("pygobetween.server")

Edit = Callable[[Override | None], Override | None]
"""From what is set by hand about a backend to what is to be set; None = nothing."""


class _Deadline(NamedTuple):
    """When a backend loses the connections that it still has, as UNIX time."""

    at: float
    task: asyncio.Task[None]


class Edits:
    """Changes by hand of one server, made in its overlay and its pool."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._deadlines: dict[Key, _Deadline] = {}

    async def set(self, override: Override, deadline: float | None = None) -> None:
        """Lay this over its backend, instead of what was set before.

        Args:
            deadline: seconds after which a backend in state drain loses the connections that it still has; None =
                never. One in state maint loses them at once.
        """
        self._server.supply.overlay.set(override)
        await self._server.supply.refresh()
        await self._end(override.key, {"ready": None, "drain": deadline, "maint": 0.0}[override.state])

    async def remove(self, key: Key, deadline: float | None = None) -> None:
        """Set nothing about a backend any more; one that discovery does not find gets no new connections.

        Args:
            deadline: seconds after which it loses the connections that it still has; None = never.
        """
        found = self._server.supply.overlay.is_found(key)
        self._server.supply.overlay.remove(key)
        await self._server.supply.refresh()
        await self._end(key, None if found else deadline)

    def deadline(self, key: Key) -> float | None:
        """When a backend will lose its connections, as UNIX time; None = nobody asks for it, or not any more."""
        deadline = self._deadlines.get(key)
        return deadline.at if deadline and self._is_leaving(key) else None

    def stop(self) -> None:
        """No deadline comes any more."""
        for key in tuple(self._deadlines):
            self._cancel(key)

    async def _end(self, key: Key, seconds: float | None) -> None:
        self._cancel(key)
        if seconds == 0:
            await self._close(key)
        elif seconds is not None:
            self._deadlines[key] = _Deadline(
                time.time() + seconds, asyncio.create_task(self._close_after(key, seconds))
            )

    def _cancel(self, key: Key) -> None:
        if deadline := self._deadlines.pop(key, None):
            deadline.task.cancel()

    async def _close_after(self, key: Key, seconds: float) -> None:
        await asyncio.sleep(seconds)
        if self._is_leaving(key):
            await self._close(key)
        del self._deadlines[key]

    def _is_leaving(self, key: Key) -> bool:
        """Whether it is drained or gone: a reload may have let it in again, and discovery may find it again."""
        override = self._server.supply.overlay.overrides.get(key)
        return override.state == "drain" if override else not self._server.supply.overlay.is_found(key)

    async def _close(self, key: Key) -> None:
        server, backend = self._server, self._server.pool.find(*key)
        if backend is not None:
            closed = await server.close_connections(lambda connection: connection.backend is backend, Reason.DRAIN)
            log.info("%s: backend %s: %d connections closed", server.name, backend.address, closed)
