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


async def sliced(items: Iterable[Item]) -> AsyncIterator[Item]:
    """The items one by one, giving way to the event loop whenever their processing took SLICE seconds."""
    end = perf_counter() + SLICE
    for item in items:
        yield item
        if perf_counter() > end:
            await asyncio.sleep(0)
            end = perf_counter() + SLICE


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
