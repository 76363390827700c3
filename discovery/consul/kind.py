"""`consul`: the instances of Consul services."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from functools import partial
from typing import ClassVar

from balancer.backend import BackendSpec
from discovery.consul.access import Access
from discovery.consul.acl import confirm_empty
from discovery.consul.client import Consul, Reply
from discovery.consul.entries import Instances, instances
from discovery.consul.followed import followed
from discovery.consul.options import ConsulOptions
from discovery.contract import Answer, Discovery


class ConsulDiscovery(Discovery):
    """Reads the health of each service; watches each by a blocking query, all on one session."""

    Options = ConsulOptions
    default_timeout: ClassVar[float] = 2.0

    def __init__(self, options: ConsulOptions) -> None:
        super().__init__(options)
        self._client = Consul(access(options, self.default_timeout))
        self._reads = {name: self._read_of(name, options) for name in dict.fromkeys(options.consul_service_name)}

    async def fetch(self) -> Answer:
        """The instances of all services, in the order of the config. Raises DiscoveryError."""
        found = await asyncio.gather(*(self._fetch(name) for name in self._reads), return_exceptions=True)
        for one in found:
            if isinstance(one, BaseException):
                raise one
        return self._together(one for one in found if isinstance(one, Instances))

    async def watch(self) -> AsyncIterator[Answer]:
        """All instances, as soon as those of one service changed. Raises DiscoveryError when one cannot be watched."""
        streams = {name: followed(read) for name, read in self._reads.items()}
        latest: dict[str, Instances] = {}
        waiting = {asyncio.ensure_future(self._next(name, stream)): name for name, stream in streams.items()}
        try:
            while True:
                done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    name = waiting.pop(task)
                    latest[name] = task.result()
                    waiting[asyncio.ensure_future(self._next(name, streams[name]))] = name
                if len(latest) == len(streams):
                    yield self._together(latest[name] for name in self._reads)
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for stream in streams.values():
                await stream.aclose()

    async def close(self) -> None:
        """Ends the session."""
        await self._client.close()

    def _read_of(self, name: str, options: ConsulOptions) -> Callable[..., Awaitable[Reply]]:
        passing, tag = options.consul_service_passing_only, options.consul_service_tag or None
        return partial(self._client.health.service, name, passing=passing, tag=tag)

    async def _fetch(self, name: str) -> Instances:
        return await self._instances(name, await self._reads[name]())

    async def _next(self, name: str, stream: AsyncIterator[Reply]) -> Instances:
        return await self._instances(name, await anext(stream))

    async def _instances(self, name: str, reply: Reply) -> Instances:
        found = await instances(name, reply)
        if not found.specs and not found.skipped:
            await confirm_empty(self._client, name, reply)
        if reply.filtered:
            found.skipped.append(f"{name}: instances that the ACL token may not read")
        return found

    def _together(self, parts: Iterable[Instances]) -> Answer:
        specs: list[BackendSpec] = []
        for part in parts:
            specs += part.specs
            for message in part.skipped:
                self.skipped.add(message)
        return specs


def access(options: ConsulOptions, default_timeout: float) -> Access:
    """How a client made from these options is let in."""
    return Access(
        hosts=options.consul_host,
        timeout=default_timeout if options.timeout is None else options.timeout,
        datacenter=options.datacenter,
        stale=options.consul_allow_stale,
        username=options.consul_auth_username,
        password=options.consul_auth_password.get_secret_value(),
        token=options.consul_acl_token.get_secret_value(),
        token_file=options.consul_acl_token_file,
        tls=options.consul_tls_enabled,
        certificate=options.consul_tls_cert_path,
        key=options.consul_tls_key_path,
        ca=options.consul_tls_cacert_path,
    )
