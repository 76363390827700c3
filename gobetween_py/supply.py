"""What fills a server's pool: discovery, what is set by hand, the lookup of names, and health checks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from balancer import Backend, BackendSpec, Counters, Pool
from discovery.loop import Loop
from discovery.registry import load
from discovery.slices import finished, sliced
from gobetween_py.config import Server
from gobetween_py.healthcheck.health import Health
from gobetween_py.overlay import Overlay
from gobetween_py.resolve import Resolver, literal
from gobetween_py.settings import approach_of

TICK = 1.0
"""Seconds between two takings of the rates."""

FIRST_ANSWER = 5.0
"""Seconds that `begin` waits for discovery's first answer, good or bad, the names in it, and a first check."""


class Supply:
    """The backends of one server, from where they are found to the pool.

    Life: construct -> begin -> change and refresh, any number of times -> rest -> end.

    Args:
        name: the server's.
        close_connections: closes the open connections to backends that went down.

    Attributes:
        pool: what it fills.
        overlay: what is set by hand; a change of it counts from the next `refresh` on.
        discovery, health: what finds the backends and what judges them, as the config says.
        on_listed: told when the pool lists other backends than before; may be set at any time.
    """

    def __init__(
        self,
        name: str,
        config: Server,
        counters: Counters,
        close_connections: Callable[[set[Backend]], Coroutine[Any, Any, None]],
    ) -> None:
        self._name = name
        self._close_connections = close_connections
        self.pool = Pool(config.balance, counters, priority_tiers=config.priority_tiers, locate=literal)
        self.pool.initially_live = Health.initially_live(config.healthcheck)
        self.resolver = Resolver(name, self.pool)
        self.health = self.health_of(config)
        self.resolver.on_resolved = self.health.resolved
        self.overlay = Overlay(config.backends)
        self.discovery = self.discovery_of(config)
        self.on_listed: Callable[[], None] = lambda: None
        self._refreshing = asyncio.Lock()
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def discovery_of(self, config: Server) -> Loop:
        """What will discover as a config says. A kind of somebody else's may raise anything."""
        options = config.discovery
        return Loop(load(options.kind)(options), options, self.apply, name=self._name)

    def health_of(self, config: Server) -> Health:
        """What will judge the backends as a config says. A kind of somebody else's may raise anything."""
        return Health(
            self._name,
            config.healthcheck,
            self.pool,
            next_address=self.resolver.next_address,
            close_connections=self._close_connections,
            approach=approach_of(config),
        )

    async def begin(self) -> None:
        """Begin to fill the pool; returns when there is a first answer, or it was waited for in vain."""
        self._run("discovery", self.discovery.run())
        self._run("resolver", self.resolver.run())
        self._run("health", self.health.run())
        self._run("rates", self._take_rates())
        await self._first_answer()

    async def change(
        self, before: Server, config: Server, *, discovery: Loop | None = None, health: Health | None = None
    ) -> None:
        """Go on as another config says; backends stay, with all they count.

        Args:
            before: the config until now.
            discovery: from `discovery_of(config)`, where the options are others than before; its first answer is
                waited for.
            health: from `health_of(config)`, likewise.
        """
        if (config.balance, config.priority_tiers) != (before.balance, before.priority_tiers):
            self.pool.set_algorithm(config.balance, priority_tiers=config.priority_tiers)
        if config.backends != before.backends:
            self.overlay.change(before.backends, config.backends)
            await self.refresh()
        if health is not None:
            await self._end("health")
            async with self._refreshing:
                await health.take_over(self.health)
                self.health = health
                self.pool.initially_live = Health.initially_live(config.healthcheck)
            self.resolver.on_resolved = health.resolved
            self._run("health", health.run())
        if discovery is not None:
            await self._end("discovery")
            discovery.take_over(self.discovery)
            self.discovery = discovery
            self._run("discovery", discovery.run())
            await self._first_answer()

    async def apply(self, specs: Sequence[BackendSpec]) -> None:
        """Take a new answer of discovery's, whole."""
        self.overlay.found = specs
        await self.refresh()

    async def refresh(self) -> None:
        """Give the pool what discovery found last, and what is set by hand laid over it."""
        async with self._refreshing:
            specs = tuple(self.overlay.specs())
            self.health.expect(specs)
            change = await finished(self.pool.updating(specs))
            let_in = self.overlay.hold(self.pool)
            await self.health.follow()
            self.health.let_in(let_in)
            self.resolver.take(change.added)
            self.on_listed()
            async for _ in sliced(self.pool.pending):
                pass

    def refused(self, backend: Backend, why: str) -> None:
        """A client's connect failed: an `on_refused` of a listener."""
        self.health.refused(backend, why)

    async def rest(self) -> None:
        """Find, look up and judge nothing any more: the pool stays as it is."""
        for name in ("discovery", "resolver", "health"):
            await self._end(name)

    async def end(self) -> None:
        """Empty the pool."""
        for name in tuple(self._tasks):
            await self._end(name)
        self.pool.update(())

    async def _first_answer(self) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_ANSWER):
                await self.discovery.begun.wait()
                await self.resolver.settled.wait()
                await self.health.begun.wait()

    async def _take_rates(self) -> None:
        clock = asyncio.get_running_loop().time
        last = clock()
        while True:
            await asyncio.sleep(TICK)
            now = clock()
            self.pool.tick(now - last)
            last = now
            async for _ in sliced(self.pool.pending):
                pass

    def _run(self, what: str, work: Coroutine[Any, Any, None]) -> None:
        self._tasks[what] = asyncio.create_task(work, name=f"{self._name}: {what}")

    async def _end(self, what: str) -> None:
        """End a task, if it runs."""
        if task := self._tasks.pop(what, None):
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
