"""The health of one server's backends: what checks and failed connects say together, told to the pool."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from balancer import Backend, BackendSpec, Pool
from discovery.duration import format_duration
from discovery.slices import sliced
from gobetween_py.healthcheck import registry
from gobetween_py.healthcheck.condition import Condition, State
from gobetween_py.healthcheck.contract import Options
from gobetween_py.healthcheck.loop import Loop, Outcome
from gobetween_py.healthcheck.places import PLAIN, Approach, Places
from gobetween_py.healthcheck.slow_start import SlowStart

log = logging.getLogger("pygobetween.healthcheck")

TOGETHER = 0.05
"""Seconds that a change may wait for those of other backends: the pool prepares its picks anew once for all of them,
and the first backend that is live does not get all clients.
"""

INITIAL = {"healthy": True, "unhealthy": False, None: None}
"""initial_status -> the verdict before any check."""


class Health:
    """Checks the backends of a pool, and takes out those that are down.

    `follow` is called after every change of the pool, `resolved` with backends whose address is known, and `refused`
    with each failed connect; `run` checks.

    Args:
        name: the server's, for the log.
        next_address: told that a backend did not answer at a sockaddr; True when it has another one now.
        close_connections: closes the open connections to backends that went down, where that is wanted.
        approach: how checks come to backends.
    """

    def __init__(
        self,
        name: str,
        options: Options,
        pool: Pool,
        *,
        next_address: Callable[[Backend, Any], bool] = lambda backend, sockaddr: False,
        close_connections: Callable[[set[Backend]], Coroutine[Any, Any, None]] | None = None,
        approach: Approach = PLAIN,
    ) -> None:
        self.options = options
        self.conditions: dict[Backend, Condition] = {}
        """Of the backends that are discovered; of none where neither checks nor failed connects are asked for."""
        self.begun = asyncio.Event()
        """Set unless all backends there are wait for their first check."""
        self.begun.set()
        self._name = name
        self._pool = pool
        self._close_connections = close_connections
        self._event_loop = asyncio.get_running_loop()
        self._slow_start = SlowStart(pool)
        self._live: set[Backend] = set()
        self._waiting: set[Backend] = set()
        self._ejected: set[Backend] = set()
        self._panic = False
        self._news: set[Backend] = set()
        self._closing: set[asyncio.Task[None]] = set()
        self._loop: Loop | None = None
        self._idle = options.kind == registry.NONE and not options.max_fails
        if options.kind != registry.NONE:
            check = registry.load(options.kind)(options)
            self._loop = Loop(
                check,
                Places(options, by_name=check.by_name, next_address=next_address, approach=approach),
                interval=options.interval,
                timeout=options.timeout,
                report=self._report,
            )

    @staticmethod
    def initially_live(options: Options) -> bool:
        """Whether a new backend may be picked before any check."""
        return options.kind == registry.NONE or options.initial_status == "healthy"

    async def run(self) -> None:
        """Until cancelled."""
        try:
            if self._loop:
                await self._loop.run()
            else:
                await asyncio.Event().wait()
        finally:
            if self._news:
                self._telling.cancel()
                self._tell()
            for condition in self.conditions.values():
                if condition.returns:
                    condition.returns.cancel()
            self._slow_start.close()
            self._pool.set_panic(False)

    # told by others

    def expect(self, specs: Iterable[BackendSpec]) -> None:
        """The pool is about to list these: see to it that it can pick one of them at once, as `follow` will see to it.

        What is not told yet is told now; and where no live backend stays, new ones are picked before any check.
        """
        if self._news:
            self._telling.cancel()
            self._tell()
        if self._loop and INITIAL[self.options.initial_status] is None:
            keys = {(spec.host, spec.port) for spec in specs}
            self._pool.initially_live = bool(self._live) and not any(backend.key in keys for backend in self._live)

    async def follow(self) -> None:
        """Know the backends that the pool has now, and no others. If it is cancelled, the next call catches up."""
        if self._idle:
            return
        initial = INITIAL[self.options.initial_status] if self._loop else True
        had_live = bool(self._live)
        async for backend in sliced([backend for backend in self.conditions if not backend.discovered]):
            self._forget(backend)
        if initial is None and had_live and not self._live:
            initial = True  # all live ones were exchanged for new ones: better unchecked backends than none
        new = [backend for backend in self._pool.backends if backend.discovered and backend not in self.conditions]
        async for backend in sliced(new):
            self._know(backend, Condition(initial))
        self._weigh()

    async def take_over(self, before: Health) -> None:
        """Go on from what another one found out, whose `run` has ended: a changed config costs no verdict.

        Ejections are over, and so are verdicts where nothing is checked any more.
        """
        async for backend in sliced([backend for backend in self._pool.backends if backend.discovered]):
            known = before.conditions.get(backend, Condition(True))
            condition = known.successor(INITIAL[self.options.initial_status])
            if not self._loop:
                condition.verdict.live = condition.been_live = True
            if condition.state != known.state:
                condition.since = time.time()
                self._log(backend, condition.state, f"the config has changed{condition.last_check}")
            if self._idle:
                self._pool.set_live(backend, True)
            else:
                self._know(backend, condition)
        self._weigh()

    def let_in(self, backends: Iterable[Backend]) -> None:
        """They are not held by hand any more: live ones return to their share slowly, where that is wanted."""
        for backend in backends:
            if self.options.slow_start and backend.live and backend.discovered:
                self._slow_start.begin(backend, self.options.slow_start)

    def resolved(self, backends: Iterable[Backend]) -> None:
        """Their addresses are known: their checks may begin, if they have not."""
        for backend in backends:
            if self._loop and backend in self.conditions:
                self._loop.add(backend)

    def refused(self, backend: Backend, why: str) -> None:
        """A client's connect to the backend failed."""
        options = self.options
        if not options.max_fails or backend not in self._live:
            return
        condition, now = self.conditions[backend], self._event_loop.time()
        if not condition.ejection.failed(now, options):
            return
        cause = f"{options.max_fails} connects failed within {format_duration(options.fail_window)}, the last: {why}"
        if not self._may_eject():
            condition.ejection.deny(now, options)
            log.warning(
                "%s: backend %s is not ejected, although %s; %d of %d backends are live, %d%% may be ejected",
                *(self._name, backend.address, cause, len(self._live), len(self.conditions)),
                options.max_ejection_percent,
            )
            return
        seconds = condition.ejection.begin(now, options)
        condition.returns = self._event_loop.call_later(seconds, self._readmit, backend, "its time is over")
        self._ejected.add(backend)
        self._changed(backend, condition, f"{cause}; for {format_duration(seconds)}")

    def _report(self, backend: Backend, outcome: Outcome) -> None:
        """A check has ended."""
        condition = self.conditions[backend]
        before = condition.last
        if condition.record(outcome, passes=self.options.passes, fails=self.options.fails):
            in_a_row = max(condition.verdict.passes, condition.verdict.fails)
            times = f", {in_a_row} times in a row" if in_a_row > 1 else ""
            self._waiting.discard(backend)
            self._changed(backend, condition, f"{self.options.kind}: {outcome.result}{times}")
        elif outcome.passed is None and (before is None or before.passed is not None):
            log.warning(
                "%s: the check of backend %s tells nothing, it is %s as before: %s",
                *(self._name, backend.address, condition.state, outcome.result),
            )

    # who is in and who is out

    def _changed(self, backend: Backend, condition: Condition, reason: str) -> None:
        """Its state is another: log it, and see to what follows."""
        state = condition.state
        condition.since = time.time()
        self._log(backend, state, reason)
        if state == "healthy":
            self._live.add(backend)
            if condition.been_live and self.options.slow_start:
                self._slow_start.begin(backend, self.options.slow_start)
            condition.been_live = True
        else:
            self._live.discard(backend)
            self._slow_start.end(backend)
        if not self._news:
            self._telling = self._event_loop.call_later(TOGETHER, self._tell)
        self._news.add(backend)
        self._weigh()

    def _log(self, backend: Backend, state: State, reason: str) -> None:
        """A change of state; the reason has the last result in it."""
        level = logging.INFO if state == "healthy" else logging.WARNING
        log.log(level, "%s: backend %s is %s: %s", self._name, backend.address, state, reason)

    def _tell(self) -> None:
        """Hand what is new to the pool."""
        news, self._news = self._news & self.conditions.keys(), set()
        down = {backend for backend in news if backend.live and backend not in self._live}
        for backend in news:
            self._pool.set_live(backend, backend in self._live)
        self._settle()
        if down and self._close_connections and self.options.on_down == "close":
            task = self._event_loop.create_task(self._close_connections(down))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)

    def _settle(self) -> None:
        """See whether picking may begin: the pool knows of a live backend, or there is nothing to wait for."""
        if not self._news and (self._live or not self._waiting):
            self.begun.set()

    def _may_eject(self) -> bool:
        """Whether one more may go: never the last live one, nor more than the percentage."""
        most = self.options.max_ejection_percent * len(self.conditions)
        return len(self._live) > 1 and (len(self._ejected) + 1) * 100 <= most

    def _readmit(self, backend: Backend, why: str) -> None:
        """Its ejection is over."""
        condition = self.conditions[backend]
        if condition.returns:
            condition.returns.cancel()
            condition.returns = None
        self._ejected.discard(backend)
        if condition.verdict.live:
            self._changed(backend, condition, f"its ejection is over, {why}{condition.last_check}")

    def _weigh(self) -> None:
        """How many are left: none must not be for ejections, few may be a reason to use all."""
        if not self._live:
            for backend in list(self._ejected):
                self._readmit(backend, "because no other backend is left")
        self._settle()
        judged = len(self.conditions) - len(self._waiting)
        panic = len(self._live) * 100 < self.options.panic_threshold * judged
        if panic != self._panic:
            self._panic = panic
            self._pool.set_panic(panic)
            log.warning(
                "%s: %s: %d of %d backends are live, the panic threshold is %d%%",
                self._name,
                "all backends are used, whatever their health" if panic else "only live backends are used again",
                *(len(self._live), judged, self.options.panic_threshold),
            )

    def _know(self, backend: Backend, condition: Condition) -> None:
        self.conditions[backend] = condition
        live = condition.verdict.live
        self._pool.set_live(backend, live is True)
        if live is None:
            self._waiting.add(backend)
            if not self._live:
                self.begun.clear()
        elif live:
            self._live.add(backend)
        if backend.sockaddr is not None:
            self.resolved((backend,))

    def _forget(self, backend: Backend) -> None:
        condition = self.conditions.pop(backend, None)
        if condition is not None and condition.returns:
            condition.returns.cancel()
        if self._loop:
            self._loop.remove(backend)
        self._slow_start.end(backend)
        for group in (self._live, self._waiting, self._ejected):
            group.discard(backend)
