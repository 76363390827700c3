"""Sources that tests of several kinds control."""

import asyncio
import json
import os
import signal
from collections.abc import Callable, Sequence

import pytest

from tests.integration.discovery.traffic import Identity
from tests.services.nginx import Nginx


class WebSource:
    """A file that nginx serves; `render` makes its content."""

    def __init__(self, nginx: Nginx, discovery: str, render: Callable[[Sequence[Identity]], str]) -> None:
        self.nginx = nginx
        self.discovery = discovery
        self._render = render

    async def publish(self, backends: Sequence[Identity]) -> None:
        await self.write(self._render(backends).encode())

    async def write(self, content: bytes) -> None:
        # By rename: nginx must not send half of it.
        self.nginx.write("new", content)
        (self.nginx.root / "new").rename(self.nginx.root / "backends")

    async def write_gigabyte(self) -> None:
        await self.write(b"")
        os.truncate(self.nginx.root / "backends", 1 << 30)

    async def fail(self) -> None:
        await asyncio.to_thread(self.nginx.kill)

    async def recover(self) -> None:
        await asyncio.to_thread(self.nginx.start)

    def freeze(self) -> None:
        """Accepts connections, as the kernel does for it, and answers nothing."""
        os.killpg(self.nginx.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.killpg(self.nginx.pid, signal.SIGCONT)


@pytest.fixture
def json_source(nginx: Nginx) -> WebSource:
    return WebSource(
        nginx,
        f'kind = "json"\njson_endpoint = "{nginx.url}/backends"\ninterval = "200ms"\ntimeout = "500ms"',
        lambda backends: json.dumps([{"host": backend.host, "port": str(backend.port)} for backend in backends]),
    )


@pytest.fixture
def plaintext_source(nginx: Nginx) -> WebSource:
    return WebSource(
        nginx,
        f'kind = "plaintext"\nplaintext_endpoint = "unix:{nginx.socket}:/backends"\ninterval = "200ms"\n'
        'timeout = "500ms"',
        lambda backends: "".join(f"{backend.address} weight=2\r\n" for backend in backends),
    )
