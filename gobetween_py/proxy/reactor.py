"""The reactor: one edge-triggered epoll of our own, nested in the event loop as a single readable fd.

asyncio's `add_reader`/`add_writer` cost a handle, a callback and often a re-arm per socket and event. Here a socket is
registered once, for reading and writing at once and edge-triggered (epoll(7)), and never touched again until close()
removes it. One turn takes a batch of events and calls a bound method for each. (63 against 82 µs a connection.)

Two rules keep it correct:

* A batch may hold events of an fd that an earlier event of the same batch closed. New fds are therefore only made
  between batches: accepting, retrying and going on after a spent budget are put on `ready`, which runs when the batch
  is through. So no stale event can reach a new connection that got the same number. (UDP sessions are made at any
  time: they take an event for a hint, and look themselves.)
* Work on `ready` runs one piece at a time with a look at epoll in between, so that a bulk stream that goes on for
  megabytes delays a small message by one piece, not by a round of all streams.

And one keeps it quick: while traffic is dense the two epolls change places. Ours waits, with that of the event loop
inside it, so that an event comes without a round through the loop (one redis PING at a time: 0.96 instead of 1.08 of
HAProxy's CPU). The loop still gets its turn when one of its own fds is ready and every `LINGER` seconds; its timers
come so late, or by `PATIENCE` just when traffic falls silent.
"""

from __future__ import annotations

import asyncio
import logging
import select
from collections import deque
from collections.abc import Callable
from time import monotonic

from gobetween_py.proxy.pipes import PipePool
from gobetween_py.proxy.wheel import Wheel

log = logging.getLogger("pygobetween.proxy")

EDGE = select.EPOLLIN | select.EPOLLOUT | select.EPOLLRDHUP | select.EPOLLET

BATCH = 64
"""Events taken from epoll at once. CPython makes room for as many at each poll: for more than a kilobyte (85 of them)
glibc's malloc has no quick list."""

LINGER = 0.001
"""Seconds until the event loop gets its turn. Traffic is dense when two turns are no further apart."""

PATIENCE = 0.005
"""Seconds of silence after which the event loop does the waiting again. Shorter than the kernel's tick it would have to
be programmed into the clock for every wait, which costs more than is gained (21 instead of 17 µs a PING)."""


class Reactor:
    """Dispatches the events of all relayed sockets of this process.

    Args:
        loop: the running event loop; it needs `add_reader`, so any selector loop or uvloop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.handlers: dict[int, Callable[[int], None]] = {}
        self.ready: deque[Callable[[], None]] = deque()
        self.batches = 0
        """Taken from epoll so far."""
        self.pipes = PipePool()
        self.wheel = Wheel(loop)
        self._epoll = select.epoll()
        self._poll = self._epoll.poll
        self._register = self._epoll.register
        # uvloop tells the fd of its epoll; with another loop ours is always the inner one.
        self._loop_fd: int | None = loop._get_backend_id() if hasattr(loop, "_get_backend_id") else None
        self._closed = False
        self._outer = False  # whether our epoll does the waiting
        self._called = False  # whether the event loop has something to do
        self._left = 0.0  # when the last turn ended
        loop.add_reader(self._epoll.fileno(), self.turn)

    def close(self) -> None:
        """Stop dispatching; registered sockets stay open and belong to their owners."""
        if self._outer:
            self._change_places()
        self.loop.remove_reader(self._epoll.fileno())
        self.wheel.close()
        self.pipes.close()
        self._epoll.close()
        self._closed = True

    def add(self, fd: int, handler: Callable[[int], None]) -> None:
        """Watch `fd` for everything, edge-triggered; `handler` gets the epoll event mask."""
        self.handlers[fd] = handler
        self._register(fd, EDGE)

    def add_level(self, fd: int, handler: Callable[[int], None], events: int = select.EPOLLIN) -> None:
        """Watch `fd` for `events`, level-triggered: what was not taken now is reported again."""
        self._register(fd, events)
        self.handlers[fd] = handler

    def remove(self, fd: int) -> None:
        """Stop watching an fd that stays open (a closed one leaves epoll by itself)."""
        del self.handlers[fd]
        self._epoll.unregister(fd)

    def turn(self) -> None:
        """Handle what epoll reports and the ready work, for as long as there is some, and no longer than LINGER."""
        if self._closed:
            return
        begun = monotonic()
        if not self._outer and begun - self._left < LINGER and self._loop_fd is not None:
            self._change_places()
        self._called = False
        patience = PATIENCE if self._outer else 0
        find, poll, ready = self.handlers.get, self._poll, self.ready
        while True:
            batch = poll(0 if ready else patience, BATCH)
            self.batches += 1
            for fd, events in batch:
                handler = find(fd)
                if handler is not None:
                    try:
                        handler(events)
                    except Exception:
                        self._fault(handler)
            if ready:
                work = ready.popleft()
                try:
                    work()
                except Exception:
                    self._fault(work)
            elif not batch and self._outer:
                self._change_places()
                break
            elif not patience:
                break
            if self._called or monotonic() - begun >= LINGER:
                break
        self._left = monotonic()
        if self._outer or ready:
            self.loop.call_soon(self.turn)

    def _change_places(self) -> None:
        """Take the event loop's epoll into ours, or give ours back into the loop's: both at once would be a ring."""
        assert self._loop_fd is not None
        if self._outer:
            self.remove(self._loop_fd)
            self.loop.add_reader(self._epoll.fileno(), self.turn)
        else:
            self.loop.remove_reader(self._epoll.fileno())
            self.add_level(self._loop_fd, self._call)
        self._outer = not self._outer

    def _call(self, _events: int) -> None:
        self._called = True

    def _fault(self, handler: Callable[..., None]) -> None:
        """A defect costs its own connection: log it with its trace, abort the owner, go on with the rest."""
        log.exception("defect in %s; its connection is closed", getattr(handler, "__qualname__", handler))
        abort = getattr(getattr(handler, "__self__", None), "abort", None)
        if abort is not None:
            abort()
