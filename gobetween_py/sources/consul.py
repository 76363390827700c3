"""The config in Consul's key-value store."""

import os
from collections.abc import AsyncGenerator
from contextlib import aclosing

from discovery.consul.access import Access
from discovery.consul.client import Consul
from discovery.consul.key_value import read_value, values
from discovery.contract import DiscoveryError
from gobetween_py.sources.contract import TIMEOUT, Reading, Source


class ConsulSource(Source):
    """A key, followed by blocking queries.

    What else is needed to be let in stands in the environment, as for Consul's own tools: CONSUL_HTTP_TOKEN or
    CONSUL_HTTP_TOKEN_FILE, CONSUL_HTTP_AUTH (user:password), CONSUL_CACERT, CONSUL_CLIENT_CERT, CONSUL_CLIENT_KEY.

    Args:
        host: "host:port" of the HTTP API, IPv6 in brackets.
        key: for instance "gobetween" or "lb/edge.json".
        tls: https; the certificate is verified.
    """

    def __init__(self, host: str, key: str, reading: Reading, *, tls: bool) -> None:
        super().__init__(f"consul://{host}/{key}", reading)
        variables = os.environ.get
        username, _, password = variables("CONSUL_HTTP_AUTH", "").partition(":")
        self._client = Consul(
            Access(
                (host,),
                timeout=TIMEOUT,
                username=username,
                password=password,
                tls=tls,
                ca=variables("CONSUL_CACERT", ""),
                certificate=variables("CONSUL_CLIENT_CERT", ""),
                key=variables("CONSUL_CLIENT_KEY", ""),
            )
        )
        self._host = host
        self._key = key

    @property
    def described(self) -> dict[str, str]:
        return {"kind": "consul", "host": self._host, "key": self._key}

    async def close(self) -> None:
        await self._client.close()

    async def _read(self) -> str:
        value = await read_value(self._client, self._key)
        if value is None:
            raise DiscoveryError("there is no such key")
        try:
            return value.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise DiscoveryError("is not text in UTF-8") from None

    async def _moments(self) -> AsyncGenerator[None]:
        async with aclosing(values(self._client, self._key)) as found:
            async for _ in found:
                yield None
