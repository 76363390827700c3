"""A kind of check whose results a test decides, and which remembers when it was asked."""

import asyncio
from collections.abc import Callable
from typing import Literal

from balancer import Backend, BackendSpec, Change, Counters, Pool
from gobetween_py.healthcheck import registry
from gobetween_py.healthcheck.contract import Check, CheckFailedError, NoVerdictError, Options, Target
from gobetween_py.resolve import literal

Answer = Callable[[], str]
"""Raises, or returns what was seen."""


def failed() -> str:
    raise CheckFailedError("no answer")


def unclear() -> str:
    raise NoVerdictError("nobody knows")


class ScriptedOptions(Options):
    kind: Literal["scripted"] = "scripted"


class Scripted(Check):
    """Takes `takes` seconds and gives `answers[address]`, or "well"."""

    Options = ScriptedOptions

    def __init__(self, options: Options) -> None:
        super().__init__(options)
        self.takes = 0.0
        self.answers: dict[str, Answer] = {}
        self.starts: list[tuple[float, str]] = []
        self.running: list[str] = []
        self.most = 0

    async def check(self, target: Target) -> str:
        address = BackendSpec(target.host, target.port).address
        assert address not in self.running, "two checks of one backend at once"
        self.starts.append((asyncio.get_running_loop().time(), address))
        self.running.append(address)
        self.most = max(self.most, len(self.running))
        try:
            await asyncio.sleep(self.takes)
        finally:
            self.running.remove(address)
        return self.answers.get(address, lambda: "well")()

    def times(self, address: str) -> list[float]:
        """When checks of a backend started."""
        return [at for at, checked in self.starts if checked == address]


def register() -> None:
    """Make it a kind that a config may name."""
    registry.BUILT_IN["scripted"] = f"{__name__}:Scripted"


def pool_of(count: int, *, live: bool = False) -> tuple[Pool, Change]:
    """A pool of so many backends, "10.0.0.1:1" and on."""
    pool = Pool("roundrobin", Counters(), initially_live=live, locate=literal)
    return pool, pool.update(BackendSpec("10.0.0.1", port) for port in range(1, count + 1))


def named(pool: Pool, port: int) -> Backend:
    return next(backend for backend in pool.backends if backend.port == port)
