"""A key of Consul's key-value store, followed."""

import base64
import json
from collections.abc import AsyncGenerator
from functools import partial

from discovery.consul.client import Consul, Reply
from discovery.consul.followed import followed
from discovery.contract import DiscoveryError


async def read_value(client: Consul, key: str) -> bytes | None:
    """The value of a key, None when it is not there. Raises DiscoveryError."""
    return _value(await client.kv.get(key))


async def values(client: Consul, key: str) -> AsyncGenerator[bytes | None]:
    """The value of a key now, and again whenever it may have changed: at least once a minute. Raises DiscoveryError."""
    async for reply in followed(partial(client.kv.get, key)):
        yield _value(reply)


def _value(reply: Reply) -> bytes | None:
    if reply.status == 404:
        return None
    try:
        (item,) = json.loads(reply.text)
        return base64.b64decode(item["Value"] or "", validate=True)  # null where it is empty
    except (ValueError, TypeError, KeyError, RecursionError):
        raise DiscoveryError(f"{reply.host}: the answer is not that of a key-value store") from None
