"""The config at a URL."""

import asyncio
from collections.abc import AsyncGenerator

from discovery.contract import DiscoveryError
from discovery.http_client import HttpClient, parse_endpoint
from discovery.tls import client_context
from gobetween_py.sources.contract import Reading, Source


class UrlSource(Source):
    """A text at http:// or https://. Certificates are verified, with the CAs of the system or of SSL_CERT_FILE.

    Args:
        url: with user and password where it needs them; they appear in no message.
        interval: seconds between two looks whether it changed.

    Raises:
        ValueError: it is no URL.
    """

    def __init__(self, url: str, reading: Reading, *, interval: float) -> None:
        endpoint = parse_endpoint(url)
        super().__init__(endpoint.shown, reading)
        self._client = HttpClient(endpoint, headers={}, tls=client_context)
        self._interval = interval

    @property
    def described(self) -> dict[str, str]:
        return {"kind": "url", "url": self.name}

    async def close(self) -> None:
        await self._client.close()

    async def _read(self) -> str:
        text = await self._client.fetch()
        if text is None:  # unchanged, says the server
            if self.text is None:
                raise DiscoveryError("the server says that what was never asked for has not changed")
            return self.text
        self._client.know()
        return text

    async def _moments(self) -> AsyncGenerator[None]:
        while True:
            yield None
            await asyncio.sleep(self._interval)
