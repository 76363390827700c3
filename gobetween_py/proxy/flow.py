"""A connection or a session, as those see it that do not relay it, and who is told of its end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from balancer import Backend
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.wheel import Wheel


class Flow(Protocol):
    """A TCP connection or a UDP session, as logs, metrics and the API see it.

    Attributes:
        host: the client's IP address, "" for a UNIX socket; its port beside it.
        backend: None before one is picked.
        relaying: whether the backend is connected.
        number: tells it from every other one that is open.
        begun, answered: `time.monotonic()` when it began, and when its backend had answered (0.0 = it has not).
        active: the tick of `wheel` at which something moved last, while it is relaying.
        sent, received: bytes to and from the backend.
        dials, attempts: how many addresses of backends, and how many different backends, it tried.
        server_name: that the client asked for by TLS, where that was read; "" = none.
    """

    @property
    def host(self) -> str: ...

    @property
    def port(self) -> int: ...

    @property
    def backend(self) -> Backend | None: ...

    @property
    def closed(self) -> bool: ...

    @property
    def relaying(self) -> bool: ...

    @property
    def number(self) -> int: ...

    @property
    def begun(self) -> float: ...

    @property
    def answered(self) -> float: ...

    @property
    def wheel(self) -> Wheel: ...

    @property
    def active(self) -> int: ...

    @property
    def sent(self) -> int: ...

    @property
    def received(self) -> int: ...

    @property
    def dials(self) -> int: ...

    @property
    def attempts(self) -> int: ...

    @property
    def server_name(self) -> str: ...

    def close(self, reason: Reason) -> None:
        """End it, if it has not ended, and give back everything."""

    def break_off(self, reason: Reason) -> None:
        """End it so that neither side takes what it got for the whole."""


OnEnd = Callable[[Flow, Reason], None]
"""Told of every connection that has ended. Runs in the data plane: it must be quick, and not raise."""

OnRefusal = Callable[[str, int, Reason], None]
"""Told of every client that was turned away at the door: IP address ("" for a UNIX socket), port, and why. As quick."""
