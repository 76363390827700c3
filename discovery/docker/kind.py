"""`docker`: the containers of an engine."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator

from balancer.backend import BackendSpec
from discovery.blocking import Blocking
from discovery.contract import Answer, Discovery, DiscoveryError
from discovery.daemon.events import SETTLE, Changes, keep_alive
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
        try:
            if self._client is None:
                self._client = Client(self._endpoint, await self._context(), self._seconds())
            specs = await self._ask(self._client)
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception) and not isinstance(error, DiscoveryError):
                raise self._endpoint.failure(error) from error
            raise
        self._answered.set()
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
            self._endpoint.session(await self._context()) as session,
            session.get("/events", params=parameters, allow_redirects=False) as response,
        ):
            if response.status != 200:
                raise DiscoveryError(f"{self._endpoint}: events answered {response.status}")
            keep_alive(response)
            self._changes.now()
            async for _ in response.content.iter_any():
                self._changes.now()
                self._changes.later(SETTLE)

    async def _ask(self, client: Client) -> list[BackendSpec]:
        entries = await self._blocking.call(client.containers, self._chosen.docker_container_label)
        variable = self._chosen.docker_container_host_env_var
        specs: list[BackendSpec] = []
        hosts: dict[str, str] = {}
        new: list[Container] = []
        async for entry in sliced(entries):
            try:
                container = validated(Container, entry)
            except ValueError as error:
                self.skipped.add(f"a container: {error}")
                continue
            host = self._hosts.get(container.id) if variable else ""
            if host is None:
                new.append(container)
            else:
                hosts[container.id] = host
                specs += self._backends(container, host)
        if new:
            # An environment never changes. What is learned of it too late for this fetch, the next one knows.
            await self._blocking.call(client.environments, variable, [one.id for one in new], self._hosts)
        for container in new:
            if (host := self._hosts.get(container.id)) is not None:
                hosts[container.id] = host
                specs += self._backends(container, host)
        self._hosts = hosts
        return specs

    def _backends(self, container: Container, host: str) -> list[BackendSpec]:
        try:
            return backends_of(container, self._chosen, host)
        except ValueError as error:
            self.skipped.add(f"container {container.name}: {error}")
            return []

    async def _context(self) -> ssl.SSLContext | None:
        options = self._chosen
        if not self._endpoint.secure:
            return None
        if not options.docker_tls_enabled:
            return await asyncio.to_thread(client_context)
        return await asyncio.to_thread(
            client_context,
            ca=options.docker_tls_cacert_path,
            certificate=options.docker_tls_cert_path,
            key=options.docker_tls_key_path,
        )

    def _seconds(self) -> float | None:
        timeout = self._chosen.timeout
        return (self.default_timeout if timeout is None else timeout) or None
