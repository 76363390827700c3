"""Long work in the event loop, in slices, so that relayed bytes never wait for it."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from time import perf_counter
from typing import TypeVar

Item = TypeVar("Item")

SLICE = 0.002
"""Seconds of work before other events get their turn."""


async def sliced(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items one by one, giving way to the event loop whenever their processing took SLICE seconds."""
    end = perf_counter() + SLICE
    for item in items:
        yield item
        if perf_counter() > end:
            await asyncio.sleep(0)
            end = perf_counter() + SLICE
