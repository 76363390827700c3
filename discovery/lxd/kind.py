"""`lxd`: the running containers of a server."""

import asyncio
import json
import ssl
from collections.abc import AsyncGenerator
from typing import Any

import aiohttp

from balancer.backend import BackendSpec
from discovery.backoff import Backoff, Pace
from discovery.blocking import Blocking
from discovery.contract import Answer, Discovery, DiscoveryError
from discovery.daemon.endpoint import root_cause
from discovery.daemon.events import Changes
from discovery.daemon.validated import validated
from discovery.lxd.client import Client
from discovery.lxd.containers import Container, NoAddressError, backend_of, is_wanted
from discovery.lxd.options import LxdOptions
from discovery.lxd.trust import Trust, shown_certificate
from discovery.slices import sliced

HEARTBEAT = 30.0
"""Seconds between two pings to a server that has no events to tell."""
MAX_EVENT = 1024 * 1024
"""Bytes: a larger one ends the push channel."""
BOOTING = Pace(first=0.2, cap=30.0)
"""When to look again for the address of a container that runs without one: no event tells of addresses."""


class Lxd(Discovery):
    """Asks for all containers with their state, and again after events."""

    Options = LxdOptions

    def __init__(self, options: LxdOptions) -> None:
        super().__init__(options)
        self._chosen = options
        self._endpoint = options.endpoint
        self.source = str(self._endpoint)
        self._trust = Trust(options.folder, options.lxd_server_remote_name)
        self._blocking = Blocking()
        self._client: Client | None = None
        self._answered = asyncio.Event()
        self._changes = Changes()
        self._booting: set[str] = set()
        self._boot_pace = Backoff(BOOTING)

    async def fetch(self) -> Answer:
        """The backends of all containers that run and have the label. Raises DiscoveryError."""
        try:
            if self._client is None:
                self._client = await self._connected()
            entries = await self._blocking.call(self._client.containers)
            specs: list[BackendSpec] = []
            booting: set[str] = set()
            async for entry in sliced(entries):
                specs += self._backends(entry, booting)
        except BaseException as error:
            await self.close()
            if isinstance(error, Exception) and not isinstance(error, DiscoveryError):
                raise self._failure(error) from error
            raise
        self._answered.set()
        self._look_again_for(booting)
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

    async def _connected(self) -> Client:
        options, trust = self._chosen, self._trust
        timeout = (self.default_timeout if options.timeout is None else options.timeout) or None
        if not self._endpoint.secure:
            return Client(self._endpoint, timeout=timeout)
        if options.lxd_generate_client_certs:
            await self._blocking.call(trust.generate)
        if options.lxd_accept_server_cert and not trust.pinned.exists():
            await self._blocking.call(trust.pin, await shown_certificate(self._endpoint))
        return Client(
            self._endpoint,
            await self._context(),
            timeout=timeout,
            certificate=trust.certificate,
            password=options.lxd_server_remote_password.get_secret_value(),
        )

    async def _context(self) -> ssl.SSLContext | None:
        return await asyncio.to_thread(self._trust.context) if self._endpoint.secure else None

    def _backends(self, entry: Any, booting: set[str]) -> list[BackendSpec]:
        """One, or none; the names of containers without an address go to `booting`."""
        name = "a container"
        try:
            container = validated(Container, entry)
            name = f"container {container.name}"
            return [backend_of(container, self._chosen)] if is_wanted(container, self._chosen) else []
        except ValueError as error:
            self.skipped.add(f"{name}: {error}")
            if isinstance(error, NoAddressError):
                booting.add(name)
            return []

    def _look_again_for(self, booting: set[str]) -> None:
        """Soon, and then less and less often, while the same containers have no address."""
        if booting != self._booting:
            self._boot_pace.reset()
            self._booting = booting
        if booting:
            self._changes.later(self._boot_pace.next())
        else:
            self._changes.never()

    async def _listen(self) -> None:
        await self._answered.wait()
        parameters = {"type": "lifecycle"}
        async with (
            self._endpoint.session(await self._context()) as session,
            session.ws_connect("/1.0/events", params=parameters, heartbeat=HEARTBEAT, max_msg_size=MAX_EVENT) as events,
        ):
            self._changes.now()
            async for message in events:
                if message.type is aiohttp.WSMsgType.TEXT and _is_of_container(message.data):
                    self._changes.now()
            if error := events.exception():
                raise error

    def _failure(self, error: Exception) -> DiscoveryError:
        failure = self._endpoint.failure(error)
        if not isinstance(root_cause(error), ssl.SSLCertVerificationError):
            return failure
        pinned = self._trust.pinned
        hint = (
            f"it is not the certificate in {pinned}; remove that file if the server may have another"
            if pinned.exists()
            else f"lxd_accept_server_cert accepts it, as does a copy of it in {pinned}"
        )
        return DiscoveryError(f"{failure}; {hint}")


def _is_of_container(event: str) -> bool:
    """Whether a lifecycle event tells of a container; images, networks and the like have events, too."""
    try:
        action = json.loads(event)["metadata"]["action"]
    except (ValueError, LookupError, TypeError, RecursionError):
        return True  # not as LXD sends them: better to look
    return str(action).startswith(("instance-", "container-"))
