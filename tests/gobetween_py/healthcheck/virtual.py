"""An event loop whose time passes only while it would sleep: an hour of checks takes a moment."""

import asyncio
import functools
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

Result = TypeVar("Result")
Arguments = ParamSpec("Arguments")


class _Selector(selectors.DefaultSelector):
    """Where the loop would wait for a timer, the clock moves on to it."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if ready or timeout is None:
            return ready or super().select(5)
        self.now += max(0.0, timeout)
        return []


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.clock = _Selector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now


def be_busy(seconds: float) -> None:
    """As if a callback had taken so long."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, _Loop)
    loop.clock.now += seconds


def run(work: Coroutine[Any, Any, Result]) -> Result:
    """The result of a coroutine, run in virtual time."""
    with asyncio.Runner(loop_factory=_Loop) as runner:
        return runner.run(work)


def test(scenario: Callable[Arguments, Coroutine[Any, Any, None]]) -> Callable[Arguments, None]:
    """Decorates a test: it runs in virtual time."""

    @functools.wraps(scenario)
    def wrapped(*args: Arguments.args, **kwargs: Arguments.kwargs) -> None:
        run(scenario(*args, **kwargs))

    return wrapped
