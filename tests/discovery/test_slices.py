import asyncio
import time
from collections.abc import Generator, Iterator

import pytest

from discovery import slices
from discovery.slices import PAUSE, finished, sliced


class Ticks:
    """Counts how often the event loop had its turn."""

    def __init__(self) -> None:
        self.count = 0

    async def __aenter__(self) -> "Ticks":
        self._task = asyncio.create_task(self._run())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            self.count += 1
            await asyncio.sleep(0)


def slow_items(count: int) -> Iterator[int]:
    for number in range(count):
        time.sleep(slices.SLICE)
        yield number


def slow_work(steps: int, ended: list[str]) -> Generator[None, None, str]:
    try:
        for _ in slow_items(steps):
            yield
        return "done"
    finally:
        ended.append("closed")


async def test_items_leave_turns_to_others() -> None:
    async with Ticks() as ticks:
        assert [number async for number in sliced(slow_items(5))] == [0, 1, 2, 3, 4]
        assert ticks.count >= 5


async def test_a_pause_is_no_item_but_leaves_a_turn_to_others() -> None:
    def items() -> Iterator[object]:
        for number in slow_items(3):
            yield PAUSE
            yield number

    async with Ticks() as ticks:
        assert [item async for item in sliced(items())] == [0, 1, 2]
        assert ticks.count >= 3


async def test_short_work_is_not_interrupted() -> None:
    """An event loop's turn costs more than most answers."""
    async with Ticks() as ticks:
        before = ticks.count
        assert [number async for number in sliced(range(10))] == [*range(10)]
        assert ticks.count == before


async def test_work_in_steps_leaves_turns_to_others_and_has_a_result() -> None:
    async with Ticks() as ticks:
        assert await finished(slow_work(5, [])) == "done"
        assert ticks.count >= 5


async def test_work_that_is_cancelled_is_closed_at_once() -> None:
    ended: list[str] = []
    task = asyncio.create_task(finished(slow_work(100, ended)))
    await asyncio.sleep(slices.SLICE * 3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["closed"]
