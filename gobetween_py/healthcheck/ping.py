"""`ping`: the backend takes a TCP connection."""

from typing import Literal

from gobetween_py.healthcheck.contract import Check, Options, Target
from gobetween_py.healthcheck.link import Link


class PingOptions(Options):
    """Nothing but what every kind has."""

    kind: Literal["ping"] = "ping"


class Ping(Check):
    """Connects and closes."""

    Options = PingOptions

    async def check(self, target: Target) -> str:
        with Link(target) as link:
            await link.connect()
        return "connected"
