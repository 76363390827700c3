"""From events that say that something changed to "fetch now"."""

import asyncio
import socket
from collections.abc import AsyncGenerator, Coroutine
from typing import Any

import aiohttp

SETTLE = 0.25
"""Seconds after an event when it is worth to look again: dockerd tells of a pause before its list knows of it."""

KEEPALIVE = {socket.TCP_KEEPIDLE: 30, socket.TCP_KEEPINTVL: 10, socket.TCP_KEEPCNT: 3}
"""Seconds of silence before the first probe, between two, and how many of them go unanswered: see tcp(7)."""


def keep_alive(response: aiohttp.ClientResponse) -> None:
    """Ends a stream of events over TCP whose other side vanished: nothing else tells that from a quiet engine."""
    transport = response.connection.transport if response.connection else None
    found = transport.get_extra_info("socket") if transport else None
    if found is not None and found.family != socket.AF_UNIX:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE.items():
            found.setsockopt(socket.IPPROTO_TCP, option, value)


class Changes:
    """What `watch` of a daemon's kind waits for."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._later: asyncio.TimerHandle | None = None

    def now(self) -> None:
        """Fetch now."""
        self._changed.set()

    def later(self, seconds: float) -> None:
        """Fetch after so many seconds, if nothing else is asked for later on."""
        self.never()
        self._later = asyncio.get_running_loop().call_later(seconds, self._changed.set)

    def never(self) -> None:
        """Takes `later` back."""
        if self._later is not None:
            self._later.cancel()
            self._later = None

    async def told_by(self, listening: Coroutine[Any, Any, None]) -> AsyncGenerator[None, None]:
        """Yields for each change, those that come together once, until `listening` ends; raises what it raises."""
        task = asyncio.create_task(listening)
        task.add_done_callback(self._listened)
        try:
            while True:
                await self._changed.wait()
                self._changed.clear()
                if task.done():
                    task.result()
                    return
                yield
        finally:
            task.cancel()

    def _listened(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # told_by may be over, and nobody else asks
        self._changed.set()
