"""Lines on their way to an output. Whoever writes one never waits: a thread does, with a bounded backlog.

The thread runs next to no Python, because whenever it does, the relays wait for the interpreter: it gets finished
lines, many at a time, and hands them to the output in one system call.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from enum import Enum
from queue import SimpleQueue
from typing import Any, TypeVar

from gobetween_py.access_log.output import Target, target_of
from gobetween_py.config import Server
from gobetween_py.config.access_log import AccessLog, Output

log = logging.getLogger("pygobetween.access_log")

FLUSH = 1.0
"""Seconds until a line is handed to the thread at the latest..."""
BATCH = 256
"""...or at once with so many lines: they are made in half a millisecond."""

BACKLOG = 32_768
"""Lines that the thread may have before it; further ones are dropped. Some 8 MB."""

FAREWELL = 2.0
"""Seconds that the outputs have for what is left when the process ends."""


Facts = TypeVar("Facts")


class Order(Enum):
    """What the thread is told beside lines."""

    REOPEN = "reopen"
    END = "end"


class Writer:
    """Writes lines to one output, from construction until `close`.

    Raises:
        OSError: from the constructor, when the output cannot be opened.
    """

    def __init__(self, name: str, target: Target, loop: asyncio.AbstractEventLoop) -> None:
        target.open()
        self.name = name
        self._target = target
        self._loop = loop
        self._noted: list[tuple[Callable[[Any], str], Any]] = []  # lines to be: what makes each, and of what
        self._timer: asyncio.TimerHandle | None = None
        self._queue: SimpleQueue[list[str] | Order] = SimpleQueue()
        self._handed = 0  # lines that the thread got
        self._refused = 0  # lines that it did not get, because its backlog was full
        self._slow = False
        self._thread = threading.Thread(target=self._run, name=f"access log {name}", daemon=True)
        # These are written by the thread alone.
        self._done = 0  # lines that it is through with
        self._failed = 0  # of those, lines that the output did not take
        self._failing = False
        self._thread.start()

    @property
    def dropped(self) -> int:
        """Lines that were lost so far: the output was too slow, or did not take them."""
        return self._refused + self._failed

    def write(self, line_of: Callable[[Facts], str], facts: Facts) -> None:
        """Take what `line_of` makes a line of, without its line end, when it is called for that later."""
        noted = self._noted
        if not noted:
            self._timer = self._loop.call_later(FLUSH, self.flush)
        noted.append((line_of, facts))
        if len(noted) >= BATCH:
            self.flush()

    def flush(self) -> None:
        """Hand over what was collected, or drop it when the thread has too much before it."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        noted, self._noted = self._noted, []
        backlog = self._handed - self._done
        if backlog + len(noted) > BACKLOG:
            self._refused += len(noted)
            if not self._slow:
                log.warning("%s is too slow: lines are dropped", self.name)
            self._slow = True
            return
        if noted:
            self._handed += len(noted)
            self._queue.put([line_of(facts) for line_of, facts in noted])
        if self._slow and backlog < BACKLOG // 2:
            log.warning("%s keeps up again; %d lines were dropped so far", self.name, self.dropped)
            self._slow = False

    def reopen(self) -> None:
        """Open the output again, after what was written until now: the file was renamed, say."""
        self.flush()
        self._queue.put(Order.REOPEN)

    def close(self) -> None:
        """Take no more lines; those that are left are written still."""
        self.flush()
        self._queue.put(Order.END)

    def ended(self, deadline: float) -> bool:
        """Wait for the thread's end, until `time.monotonic()` is `deadline`; whether it came to that."""
        self._thread.join(max(0.0, deadline - time.monotonic()))
        return not self._thread.is_alive()

    @property
    def unwritten(self) -> int:
        """Lines that the thread has before it."""
        return self._handed - self._done

    # the thread

    def _run(self) -> None:
        while True:
            item = self._queue.get()
            if item is Order.END:
                self._target.close()
                return
            if isinstance(item, Order):
                try:
                    self._target.open()
                except OSError as error:
                    log.error("%s cannot be reopened: %s; it is written on as it was", self.name, error.strerror)
                continue
            written, failure = self._target.write(item)
            self._failed += len(item) - written
            self._done += len(item)
            self._tell(failure)

    def _tell(self, failure: OSError | None) -> None:
        """Log a change from working to failing or back."""
        if failure is not None and not self._failing:
            log.warning("%s cannot be written: %s: lines are dropped", self.name, failure.strerror)
        elif failure is None and self._failing:
            log.warning("%s is written again; %d lines were dropped so far", self.name, self.dropped)
        self._failing = failure is not None


class OutputError(OSError):
    """An output cannot be opened. The message names the server whose it is, and the reason."""


class Writers:
    """The outputs of this process: one writer each, shared by the servers that log there."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._users: dict[Writer, int] = {}
        self._writers: dict[tuple[Output, str], Writer] = {}
        self._ending: list[Writer] = []  # closed, but not through yet
        self._dropped = 0  # by writers that have ended

    @property
    def dropped(self) -> int:
        """Lines that were lost since the start, on all outputs."""
        return self._dropped + sum(writer.dropped for writer in (*self._users, *self._ending))

    def prepare(self, servers: Mapping[str, Server]) -> None:
        """Open what these servers log to, so that `take` cannot fail. What nobody took then, `sweep` closes.

        Raises:
            OutputError: one of them cannot be opened; none was.
        """
        for name, server in servers.items():
            settings = server.access_log
            if settings and settings.enabled:
                try:
                    self._writer(settings)
                except OSError as error:
                    self.sweep()
                    why = f"cannot write {settings.output}: {error.strerror or error}"
                    raise OutputError(f"servers.{name}.access_log.output: {why}") from error

    def take(self, settings: AccessLog) -> Writer:
        """The writer of an output, for one more user.

        Raises:
            OSError: the output cannot be opened.
        """
        writer = self._writer(settings)
        self._users[writer] += 1
        return writer

    def give(self, writer: Writer) -> None:
        """One user less; the last one closes it."""
        self._users[writer] -= 1
        self.sweep()

    def sweep(self) -> None:
        """Close what nobody uses."""
        unused = [writer for writer, users in self._users.items() if not users]
        for writer in unused:
            writer.close()
            del self._users[writer]
        self._writers = {key: writer for key, writer in self._writers.items() if writer in self._users}
        ended = {writer for writer in self._ending if writer.ended(0)}
        self._dropped += sum(writer.dropped for writer in ended)
        self._ending = [*(writer for writer in self._ending if writer not in ended), *unused]

    def reopen(self) -> None:
        """Open every output again."""
        for writer in self._users:
            writer.reopen()

    async def close(self) -> None:
        """Close all of them; what cannot be written within FAREWELL is lost."""
        for writer in self._users:
            writer.close()
        for writer in await self._loop.run_in_executor(None, _unended, [*self._users, *self._ending]):
            log.warning("%s is too slow: its last %d lines are lost", writer.name, writer.unwritten)

    def _writer(self, settings: AccessLog) -> Writer:
        key = settings.output, settings.facility if settings.output.kind == "syslog" else ""
        writer = self._writers.get(key)
        if writer is None:
            writer = Writer(str(settings.output), target_of(settings.output, settings.facility), self._loop)
            self._writers[key] = writer
            self._users[writer] = 0
        return writer


def _unended(writers: Iterable[Writer]) -> list[Writer]:
    """Wait for the writers' threads, FAREWELL at most; those that are not through."""
    deadline = time.monotonic() + FAREWELL
    return [writer for writer in writers if not writer.ended(deadline)]
