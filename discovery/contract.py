"""What a kind of discovery is: its Options, and a class that fetches backends and may push them."""

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from functools import cached_property
from typing import ClassVar, Literal

from pydantic import BaseModel, ConfigDict

from balancer.backend import BackendSpec
from discovery.duration import Duration
from discovery.skipped import Skipped

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes: a larger answer of any source is a failure, and is not read on."""

MAX_BACKENDS = 100_000
"""An answer of more is a failure: sorting them holds up what is relayed, 4 ms for each 10,000."""

Answer = Sequence[BackendSpec]


class DiscoveryError(Exception):
    """A fetch failed. The message says what failed and where; it is logged and shown by the API: no secrets."""


class Options(BaseModel):
    """The keys of `servers.NAME.discovery` that every kind has; a kind adds its own in a subclass."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: str
    failpolicy: Literal["keeplast", "setempty"] = "keeplast"
    """What happens to the backends when a fetch fails."""
    interval: Duration = 0.0
    """Seconds between two fetches; 0 = once (a kind that pushes goes on pushing)."""
    timeout: Duration | None = None
    """Seconds one fetch may take; 0 = no limit, None = the kind's default_timeout."""


_AnyOptions = Options  # inside of Discovery the name Options is the class attribute


class Discovery(ABC):
    """One kind of discovery, made from its validated options.

    Life: `__init__(options)` (cheap, no I/O) -> `fetch` and `watch`, in one event loop -> `close`, once.
    The loop (discovery/loop.py) owns everything about time: kinds have no interval, retry or failpolicy of their own.
    """

    Options: ClassVar[type[_AnyOptions]]
    default_timeout: ClassVar[float] = 5.0
    """Seconds, when the options have no timeout."""
    source: str = ""
    """Whom `fetch` asks, without secrets: named in the error when it does not answer in time."""

    def __init__(self, options: _AnyOptions) -> None:
        self.options = options

    @cached_property
    def skipped(self) -> Skipped:
        """Where `fetch` and `watch` note an entry that they leave out: `self.skipped.add("entry 3: no port")`."""
        return Skipped()

    @abstractmethod
    async def fetch(self) -> Answer:
        """All backends there are now. An empty answer is an empty pool.

        Must not block the event loop for more than a few milliseconds at a time (see discovery/slices.py). Gets
        cancelled at the timeout. Raises DiscoveryError, or anything: it counts as a failure.
        """

    def watch(self) -> AsyncIterator[Answer | None] | None:
        """An asynchronous generator that pushes changes, or None where the source cannot.

        It yields a whole new answer, or None for "fetch now"; a source that only tells *that* something changed yields
        None once as soon as it is subscribed, so that nothing is missed in between. When it raises or ends, it is
        called again after a while, and polling goes on meanwhile.
        """
        return None

    async def close(self) -> None:  # noqa: B027  # most kinds hold nothing between fetches
        """Give back connections and processes. No fetch is under way any more."""
