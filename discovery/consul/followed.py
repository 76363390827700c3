"""Blocking queries: one read, repeated so that each answer comes when something changed.

The rules are Consul's (https://developer.hashicorp.com/consul/api-docs/features/blocking): an index that goes back is
given up for a read from scratch, one below 1 counts as 1, or the query would not block; and the loop is limited by a
token bucket, so that a few changes in a row pass at once and a storm of them becomes polling. Consul adds the jitter
to `wait`; ours is in the delays of the bucket, since a change wakes all who wait for it at the same moment.
"""

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from discovery.consul.client import NoAnswerError, Reply
from discovery.contract import DiscoveryError

WAIT = "60s"
"""How long a query blocks when nothing changes; the answer then shows that Consul is still there."""


class TokenBucket:
    """Lets `burst` queries pass at once and `rate` a second in the long run.

    Args:
        uniform: (least, most) -> a number between; the delay's jitter is a quarter of it, upwards.
    """

    def __init__(
        self,
        rate: float = 2.0,
        burst: int = 5,
        *,
        clock: Callable[[], float] = time.monotonic,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._rate, self._burst = rate, burst
        self._clock, self._uniform = clock, uniform
        self._left, self._at = float(burst), clock()

    def take(self) -> float:
        """Seconds to wait before the next query; it counts from now on."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._at) * self._rate) - 1
        self._at = now
        return max(0.0, -self._left / self._rate) * self._uniform(1.0, 1.25)


def next_index(last: int, seen: int) -> int:
    """The index to block on after an answer with index `seen` to a query with `last`; 0 = ask without blocking."""
    if seen < last:
        return 0
    return max(seen, 1)


async def followed(read: Callable[..., Awaitable[Reply]], bucket: TokenBucket | None = None) -> AsyncGenerator[Reply]:
    """The answer now, then another one after each change, and one a minute without a change.

    A blocking query that gets no answer is followed by a read from scratch, at whichever host answers; when the next
    one fails too, blocking does not work here and the error is raised.

    Args:
        read: one of py-consul's calls, with everything but `index` and `wait`: `partial(client.kv.get, "key")`.
    """
    bucket = bucket or TokenBucket()
    index, broke = 0, False
    while True:
        await asyncio.sleep(bucket.take())
        if index:
            try:
                reply = await read(index=index, wait=WAIT)
            except NoAnswerError:
                if broke:
                    raise
                index, broke = 0, True
                continue
            broke = False
        else:
            reply = await read()
        if reply.index is None:
            raise DiscoveryError(f"{reply.host}: the answer has no X-Consul-Index: it cannot be waited for a change")
        index = next_index(index, reply.index)
        yield reply
