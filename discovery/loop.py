"""The life of one server's discovery: fetch, wait, retry, and what the source pushes meanwhile.

The first fetch is at once. After a good answer the next one comes after `interval` (0 = never), after a failure with
the delays of discovery/backoff.py until it succeeds. A pushed answer is applied at once; "fetch now" is a fetch at
once. A push channel that breaks is opened again with the same kind of delays, and as soon as a source that failed
answers again; polling does not depend on it.
"""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass

from balancer.backend import BackendSpec
from discovery.backoff import Backoff, Pace
from discovery.contract import MAX_BACKENDS, Answer, Discovery, DiscoveryError, Options
from discovery.duration import format_duration
from discovery.one_line import one_line
from discovery.slices import sliced

logger = logging.getLogger(__name__)

CLOSE_TIMEOUT = 5.0
"""Seconds a kind has to give back what it holds."""


@dataclass(slots=True)
class Status:
    """What the API and the metrics tell of one discovery. Counters only grow."""

    fetches: int = 0
    failures: int = 0
    pushes: int = 0
    """Whole answers that the source pushed."""
    failing: bool = False
    last_error: str = ""
    """Of the latest failure; stays after recovery."""
    last_duration: float = 0.0
    """Seconds of the latest fetch, good or not."""
    last_success: float | None = None
    """UNIX time of the latest good answer, fetched or pushed."""
    backends: int = 0
    """In the latest good answer, duplicates merged; 0 after setempty."""
    skipped: int = 0
    """Entries left out of the latest good answer because they were bad."""


class Loop:
    """Runs one Discovery and hands each answer to `apply`.

    Args:
        apply: takes the whole new set of backends (a list without duplicates); awaited, one set at a time.
        name: the server's, for the log.
    """

    def __init__(
        self,
        discovery: Discovery,
        options: Options,
        apply: Callable[[Answer], Awaitable[None]],
        *,
        name: str,
        pace: Pace = Pace(),  # noqa: B008  # immutable
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self.status = Status()
        self.begun = asyncio.Event()
        """Set when the first fetch has ended, well or not."""
        self._discovery = discovery
        self._options = options
        self._apply = apply
        self._where = f"{name}: {options.kind} discovery"
        self._pace = pace
        self._uniform = uniform
        self._timeout = discovery.default_timeout if options.timeout is None else options.timeout
        self._asked = asyncio.Event()
        self._recovered = asyncio.Event()
        self._applying = asyncio.Lock()
        self._applied: int | None = None

    def take_over(self, other: "Loop") -> None:
        """Before `run`: go on with what another loop found, whose options are no longer those of the server."""
        self.status.backends, self.status.last_success = other.status.backends, other.status.last_success

    async def run(self) -> None:
        """Until cancelled; then the discovery is closed. Runs once."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._poll())
                tasks.create_task(self._watch())
        finally:
            await self._close()

    def refresh(self) -> None:
        """Fetch now (after the gap of the pace), whatever the interval."""
        self._asked.set()

    async def _poll(self) -> None:
        backoff = Backoff(self._pace, longest=self._options.interval, uniform=self._uniform)
        interval, jitter = self._options.interval, self._pace.interval_jitter
        while True:
            self._asked.clear()
            succeeded = await self._fetch()
            self.begun.set()
            if not succeeded:
                await self._wait(backoff.next())
                continue
            backoff.reset()
            await self._wait(interval * self._uniform(1 - jitter, 1 + jitter) if interval else None)

    async def _wait(self, seconds: float | None) -> None:
        """Until the time is over (None = never) or someone asks for a fetch."""
        idle_since = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._asked.wait()
        await asyncio.sleep(idle_since + self._pace.gap - time.monotonic() if self._asked.is_set() else 0)

    async def _fetch(self) -> bool:
        self.status.fetches += 1
        pushes, started = self.status.pushes, time.monotonic()
        try:
            specs = await self._merge(await self._within_timeout())
            async with self._applying:
                # What was pushed while this fetch was under way is newer than what it brings.
                if pushes == self.status.pushes:
                    await self._take(specs)
        except Exception as error:  # a kind, ours or a plugin's, may raise anything
            await self._fail(error)
            return False
        finally:
            self.status.last_duration = time.monotonic() - started
        return True

    async def _within_timeout(self) -> Answer:
        try:
            async with asyncio.timeout(self._timeout or None) as deadline:
                return await self._discovery.fetch()
        except TimeoutError:
            if not deadline.expired():
                raise
            whose = f" from {self._discovery.source}" if self._discovery.source else ""
            raise DiscoveryError(f"no answer{whose} within {format_duration(self._timeout)}") from None

    async def _watch(self) -> None:
        backoff = Backoff(self._pace, uniform=self._uniform)
        broken = False
        while (pushed := self._discovery.watch()) is not None:
            opened, delay = time.monotonic(), backoff.next()
            try:
                async for answer in pushed:
                    if broken:
                        broken = False
                        logger.info("%s: push channel is back", self._where)
                    if answer is None:
                        self.refresh()
                    else:
                        specs = await self._merge(answer)
                        self.status.pushes += 1
                        async with self._applying:
                            await self._take(specs)
                reason = "it ended"
            except Exception as error:
                reason = _explain(error)
            finally:
                if isinstance(pushed, AsyncGenerator):
                    await pushed.aclose()
            if time.monotonic() - opened > delay:
                backoff.reset()
            logger.log(logging.DEBUG if broken else logging.WARNING, "%s: push channel broke: %s", self._where, reason)
            broken = True
            self.refresh()  # what else broke with it must not wait for the interval to be seen
            self._recovered.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(delay):
                    await self._recovered.wait()

    async def _take(self, specs: Answer) -> None:
        status, first, failing = self.status, self._applied is None, self.status.failing
        self._discovery.skipped.settle(logger, self._where)
        await self._apply(specs)
        self._applied = len(specs)
        status.last_success, status.failing, status.skipped = time.time(), False, self._discovery.skipped.count
        if failing:
            self._recovered.set()
        if first or failing or bool(specs) != bool(status.backends):
            logger.log(
                logging.INFO if specs else logging.WARNING,
                "%s: %s%d backends",
                self._where,
                "answers again: " if failing else "",
                len(specs),
            )
        status.backends = len(specs)

    async def _merge(self, answer: Answer) -> list[BackendSpec]:
        """One spec for each host and port: the first, where a source names one twice. Raises DiscoveryError."""
        if len(answer) > MAX_BACKENDS:
            raise DiscoveryError(f"an answer of {len(answer):,} backends; {MAX_BACKENDS:,} are allowed")
        merged: dict[tuple[str, int], BackendSpec] = {}
        async for spec in sliced(answer):
            if (kept := merged.setdefault(spec.key, spec)) is not spec and kept != spec:
                self._discovery.skipped.add(f"{spec.address}: given twice with different values, the first ones count")
        return list(merged.values())

    async def _fail(self, error: Exception) -> None:
        status, reason = self.status, _explain(error)
        self._discovery.skipped.forget()
        level = logging.DEBUG if status.failing else logging.WARNING if status.last_success else logging.ERROR
        status.failures, status.failing, status.last_error = status.failures + 1, True, reason
        if self._options.failpolicy == "setempty":
            consequence = "no backends until it answers"
            async with self._applying:
                if self._applied != 0:
                    await self._apply([])
                    self._applied = status.backends = 0
        elif status.last_success is None:
            consequence = "no backends were ever found, none until it answers"
        elif not status.backends:
            consequence = "there were no backends, none until it answers"
        else:
            consequence = f"the last {status.backends} backends are kept"
        expected = isinstance(error, DiscoveryError | OSError)  # TimeoutError is an OSError
        logger.log(level, "%s failed: %s; %s", self._where, reason, consequence, exc_info=None if expected else error)

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._discovery.close()
        except Exception as error:
            logger.warning("%s: not closed cleanly: %s", self._where, _explain(error))


def _explain(error: Exception) -> str:
    """What is told of an error: one line of some 500 characters at most."""
    text = one_line(str(error), 500)
    if isinstance(error, DiscoveryError):
        return text
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
