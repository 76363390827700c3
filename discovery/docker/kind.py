"""`docker`: the containers of an engine."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from typing import Any

from balancer.backend import BackendSpec
from discovery.blocking import Blocking
from discovery.contract import Answer, Discovery, DiscoveryError
from discovery.daemon.events import SETTLE, Changes
from discovery.daemon.validated import validated
from discovery.docker.client import Client
from discovery.docker.containers import Container, backends_of
from discovery.docker.options import DockerOptions
from discovery.slices import sliced
from discovery.tls import client_context

EVENTS = {
    "type": ["container", "network"],
    "event": ["start", "die", "pause", "unpause", "health_status", "connect", "disconnect"],
}
"""Filter of what may change the answer; exec, attach and the like happen all the time."""


class Docker(Discovery):
    """Asks for the list of containers, and again after events."""

    Options = DockerOptions

    def __init__(self, options: DockerOptions) -> None:
        super().__init__(options)
        self._endpoint = options.endpoint
        self.source = str(self._endpoint)
        self._chosen = options
        self._blocking = Blocking()
        self._client: Client | None = None
        self._hosts: dict[str, str] = {}
        self._answered = asyncio.Event()
        self._changes = Changes()

    async def fetch(self) -> Answer:
        """The backends of all containers that serve. Raises DiscoveryError."""
        options, client = self._chosen, self._client
        if client is None:
            client = self._client = Client(self._endpoint, self._context(), self._seconds(), self._hosts)
        try:
            arguments = options.docker_container_label, options.docker_container_host_env_var
            found = await self._blocking.call(client.containers, *arguments)
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception) and not isinstance(error, DiscoveryError):
                raise self._endpoint.failure(error) from error
            raise
        self._answered.set()
        specs: list[BackendSpec] = []
        async for entry, host in sliced(found):
            specs += self._backends(entry, host)
        return specs

    def watch(self) -> AsyncGenerator[None, None]:
        """Tells of each event that may change the answer. Raises DiscoveryError and what aiohttp raises."""
        return self._changes.told_by(self._listen())

    async def close(self) -> None:
        """Drops the connection; a later fetch makes another."""
        self._changes.never()
        if self._client is not None:
            self._client.cut()
            self._client = None

    async def _listen(self) -> None:
        await self._answered.wait()
        parameters = {"filters": json.dumps(EVENTS)}
        async with (
            self._endpoint.session(self._context()) as session,
            session.get("/events", params=parameters, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise DiscoveryError(f"{self._endpoint}: events answered {response.status}")
            self._changes.now()
            async for _ in response.content.iter_any():
                self._changes.now()
                self._changes.later(SETTLE)

    def _backends(self, entry: Any, host: str) -> list[BackendSpec]:
        name = "a container"
        try:
            container = validated(Container, entry)
            name = f"container {container.name}"
            return backends_of(container, self._chosen, host)
        except ValueError as error:
            self.skipped.add(f"{name}: {error}")
            return []

    def _context(self) -> ssl.SSLContext | None:
        options = self._chosen
        if not self._endpoint.secure:
            return None
        if not options.docker_tls_enabled:
            return client_context()
        certificate, key = options.docker_tls_cert_path, options.docker_tls_key_path
        return client_context(ca=options.docker_tls_cacert_path, certificate=certificate, key=key)

    def _seconds(self) -> float | None:
        timeout = self._chosen.timeout
        return (self.default_timeout if timeout is None else timeout) or None
