"""Long work in the event loop, in slices, so that relayed bytes never wait for it."""

import asyncio
from collections.abc import AsyncIterator, Generator, Iterable
from contextlib import closing
from time import perf_counter
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

SLICE = 0.002
"""Seconds of work before other events get their turn."""

PAUSE = object()
"""What an iterable may yield to `sliced` where much work lies between two items."""


async def sliced(items: Iterable[Item], slice_: float = SLICE) -> AsyncIterator[Item]:
    """The items but PAUSE, giving way to the event loop whenever their making and processing took `slice_` seconds."""
    end = perf_counter() + slice_
    for item in items:
        if item is not PAUSE:
            yield item
        if perf_counter() > end:
            await asyncio.sleep(0)
            end = perf_counter() + slice_


async def finished(work: Generator[None, None, Result]) -> Result:
    """The result of work that yields whenever it may be interrupted. It is closed when this is cancelled."""
    with closing(work):
        end = perf_counter() + SLICE
        while True:
            try:
                next(work)
            except StopIteration as stop:
                result: Result = stop.value
                return result
            if perf_counter() > end:
                await asyncio.sleep(0)
                end = perf_counter() + SLICE
