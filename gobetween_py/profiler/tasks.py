"""What the coroutines of the event loop wait for."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

PACKAGES = Path(__file__).parents[2]


def report(tasks: Iterable[asyncio.Task[Any]]) -> str:
    """A paragraph a task, sorted by name: the calls that led to where it waits, innermost last."""
    paragraphs = [
        "\n".join([task.get_name(), *(f"  {_line(frame)}" for frame in frames(task.get_coro()))])
        for task in sorted(tasks, key=lambda task: task.get_name())
    ]
    return "\n\n".join([f"{len(paragraphs)} tasks", *paragraphs, ""])


def frames(awaitable: Any) -> Iterator[FrameType]:
    """The frames of a coroutine, and of what it awaits, and so on."""
    while awaitable is not None:
        # Coroutines, generators, asynchronous generators: what they are called by is all that differs.
        for kind in ("cr", "gi", "ag"):
            frame = getattr(awaitable, f"{kind}_frame", None)
            if frame is not None:
                yield frame
                awaitable = getattr(awaitable, "gi_yieldfrom" if kind == "gi" else f"{kind}_await")
                break
        else:
            return


def _line(frame: FrameType) -> str:
    code = frame.f_code
    file = code.co_filename.removeprefix(f"{PACKAGES}/")
    return f"{code.co_qualname}  {file}:{frame.f_lineno}"
