"""What a kind of health check is: its Options, and a class that asks one backend whether it is alive."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from balancer.backend import UNIX_PREFIX
from discovery.duration import Duration
from discovery.entry import plain_host, unix_address
from discovery.fields import Flag, Port, Text
from gobetween_py.proxy.source import Source
from gobetween_py.section import Count, Positive, RuleError, Section

Percent = Annotated[int, Field(ge=0, le=100)]


def _host(text: str) -> str:
    if text.startswith(UNIX_PREFIX):
        return unix_address(text)
    return plain_host(text) if text else ""


class Options(Section):
    """The keys of `servers.NAME.healthcheck` that every kind has, "none" too; a kind adds its own in a subclass."""

    kind: str = "none"
    interval: Duration = 0.0
    """Between the starts of two checks of one backend; more than 0 unless kind is none."""
    timeout: Duration = 0.0
    """How long one check may take; "0" = a minute."""
    fails: Positive = 1
    """So many failures in a row make a backend unhealthy..."""
    passes: Positive = 1
    """...and so many successes healthy."""
    initial_status: Literal["healthy", "unhealthy"] | None = None
    """What a new backend is before its first checks; without it, it waits for its first check, which decides."""
    host: Annotated[Text, AfterValidator(_host)] = ""
    """Where to check instead of at the backend's own host; "" = there."""
    port: Port | None = None
    """Likewise its port."""
    send_proxy: Flag | None = None
    """Whether checks begin with a PROXY header where the backend's clients are introduced by one; without it, they do
    unless host or port is set."""

    max_fails: Count = 0
    """So many failed connects of clients within fail_window eject a backend for a time; 0 = never."""
    fail_window: Duration = 10.0
    ejection_time: Duration = 10.0
    """How long it stays away; twice as long each time it is ejected again..."""
    max_ejection_time: Duration = 300.0
    """...but no longer than this."""
    max_ejection_percent: Percent = 50
    """How much of the pool may be ejected at a time."""
    panic_threshold: Percent = 0
    """When less of the pool is alive, all of it is used; 0 = never."""

    slow_start: Duration = 0.0
    """How long the share of a returning backend takes to grow to its usual part."""
    on_down: Literal["keep", "close"] = "keep"
    """What happens to the open connections of a backend that went down."""

    @model_validator(mode="after")
    def _interval_of_a_check(self) -> Self:
        if self.kind != "none" and self.interval == 0:
            raise RuleError(f"must be greater than 0 for kind '{self.kind}'", "interval")
        return self

    @model_validator(mode="after")
    def _failures_can_add_up(self) -> Self:
        if self.max_fails and self.fail_window == 0:
            raise RuleError("must be greater than 0 where max_fails is set", "fail_window")
        return self

    @model_validator(mode="after")
    def _ejections_last(self) -> Self:
        if self.max_fails and not 0 < self.ejection_time <= self.max_ejection_time:
            raise RuleError("must be greater than 0 and not above max_ejection_time", "ejection_time")
        return self

    def require(self, *keys: str) -> None:
        """Raises RuleError when the kind lacks keys that it needs."""
        if missing := [key for key in keys if not getattr(self, key, "told of already")]:
            raise RuleError(f"kind '{self.kind}' needs {', '.join(missing)}")


@dataclass(frozen=True, slots=True)
class Target:
    """Where one check goes."""

    host: str
    """As in the config or from discovery: a name, an address, or "unix:/path" with port 0."""
    port: int
    family: int
    """As in the socket module; 0 for a kind that takes host and port..."""
    sockaddr: Any
    """...and None."""
    sni: str = ""
    """The server name the backend is meant for, "" = any."""
    source: Source | None = None
    """The address to come from; None = as the kernel chooses."""
    header: bytes = b""
    """What goes before everything else, over UDP before each datagram: a PROXY header that tells of no client."""


class CheckFailedError(Exception):
    """The backend is not alive. The message says what was seen, in a few words."""


class NoVerdictError(Exception):
    """It cannot be told: the message says why. The backend's status stays as it was."""


_AnyOptions = Options  # inside of Check the name Options is the class attribute


class Check(ABC):
    """One kind of check, made from its validated options, for all backends of a server.

    The loop (loop.py) owns everything about time, and Health what follows from a result.
    """

    Options: ClassVar[type[_AnyOptions]]
    by_name: ClassVar[bool] = False
    """It takes the target's host and port, and does not wait for the host to be resolved."""
    at_once: ClassVar[int] = 0
    """Checks of one server under way at a time; 0 = any number."""

    def __init__(self, options: _AnyOptions) -> None:
        self.options = options

    @abstractmethod
    async def check(self, target: Target) -> str:
        """Ask once; returns what was seen, in a few words.

        Must not block the event loop for more than a millisecond or so. Gets cancelled at the timeout, and then gives
        back what it holds at once.

        Raises:
            CheckFailedError: it is not alive. Anything else that is raised counts as that, and is logged as a defect.
            NoVerdictError: it cannot be told.
        """
