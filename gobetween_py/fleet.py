"""What runs: all servers, and the sites that answer HTTP; from one config to the next, and to the end."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from balancer import Counters
from gobetween_py import log as logs
from gobetween_py.access_log import Writers
from gobetween_py.acme.challenges import Challenges
from gobetween_py.acme.issuance import Issuance
from gobetween_py.config import Config
from gobetween_py.config import Server as ServerConfig
from gobetween_py.plan import MakeSite, Plan
from gobetween_py.proxy.reactor import Reactor
from gobetween_py.reload import Difference
from gobetween_py.server import Server
from gobetween_py.web import Site

log = logging.getLogger("pygobetween")


class Fleet:
    """The servers and sites of a config.

    Life: construct -> start -> change, any number of times, one at a time -> interrupt -> end.

    Args:
        sections: makes sites, by the key of their section.

    Attributes:
        config: the running one.
        servers: by name, always the same dict. Those that are being removed are not in it.
        sites: by the key of their section; always the same dict.
        challenges: what ACME authorities are shown.
        issuance: the certificates of [acme]; None without it.
    """

    def __init__(self, config: Config, sections: Mapping[str, MakeSite]) -> None:
        self.config = config
        self.servers: dict[str, Server] = {}
        self.sites: dict[str, Site] = {}
        self.challenges = Challenges()
        self.issuance: Issuance | None = None
        self._sections = sections
        self._counters = Counters()
        self._beginning: asyncio.Task[None] | None = None
        self._interrupted = False
        self._draining: set[Server] = set()
        self._leaving: set[asyncio.Task[int]] = set()
        self._cut = asyncio.Event()

    async def start(self) -> None:
        """Start everything. Raises what `change` raises: nothing was started."""
        loop = asyncio.get_running_loop()
        self._reactor = Reactor(loop)
        self._writers = Writers(loop)
        await self._change(Config(), self.config)

    async def change(self, config: Config, *, store: Callable[[], Awaitable[None]] | None = None) -> Difference:
        """Make a config the running one, whole or not at all.

        Returns when each server that is new, or has another discovery, has a first answer of it, or has waited for it
        in vain; until then everybody listens where they did.

        Args:
            store: runs when nothing else can fail any more; if it fails, nothing is changed.

        Raises:
            BindError, CertificateError, DiscoveryError, OSError, and what `store` raises: nothing was changed.
        """
        return await self._change(self.config, config, store)

    async def _change(
        self, before: Config, config: Config, store: Callable[[], Awaitable[None]] | None = None
    ) -> Difference:
        plan = await self._prepare(before, config, store)
        self._adopt(plan)
        try:
            if not self._interrupted:
                self._beginning = asyncio.create_task(plan.begin(), name="change of the config")
                await self._beginning
        finally:
            self._switch(plan)
        self._writers.sweep()
        return plan.what

    async def _prepare(self, before: Config, config: Config, store: Callable[[], Awaitable[None]] | None) -> Plan:
        """A plan of which nothing can fail any more; where something does fail, nothing was changed."""
        issuance = self.issuance
        if config.acme != before.acme:
            issuance = Issuance(config.acme, self.challenges, issuance) if config.acme else None
        plan = Plan(
            before,
            config,
            servers=self.servers,
            sites=self.sites,
            draining=self._draining,
            make=partial(self._make, issuance=issuance),
            sections=self._sections,
            issuance=issuance,
        )
        try:
            plan.prepare()
            self._writers.prepare(config.servers)
            if store is not None:
                await store()
        except BaseException:
            await plan.undo()
            raise
        return plan

    def _adopt(self, plan: Plan) -> None:
        """The config is the running one. New servers are listed beside those that leave; nobody listens there yet."""
        self.config = config = plan.new
        if plan.handler is not None:
            logs.install(plan.handler, config.logging.level)
        self.servers.update(plan.starting)
        for key in plan.sites_leaving:
            del self.sites[key]
        self.sites.update(plan.sites_starting)
        for server in self.servers.values():
            server.count_ends(config.metrics.enabled)

    def _switch(self, plan: Plan) -> None:
        """All binds change hands, and what leaves ends in the background."""
        plan.switch()
        for server in plan.leaving:
            self._see_off(server)
        for key, site in plan.sites_leaving.items():
            self._see_off_site(site, replaced=plan.replaces(key))
        running = {name: self.servers[name] for name in plan.new.servers}
        self.servers.clear()
        self.servers.update(running)
        if self.issuance is not None and self.issuance is not plan.issuance:
            self.issuance.stop()
        self.issuance = plan.issuance
        if self.issuance is not None and not self._interrupted:
            self.issuance.keep(plan.new.acme_hosts())

    def reopen_logs(self) -> None:
        """Go on in new files: somebody, logrotate say, has renamed the old ones."""
        self._writers.reopen()
        logs.reopen()

    def hurry(self) -> None:
        """Wait for nothing any more: what is open is closed now."""
        self._cut.set()

    def interrupt(self) -> None:
        """The end comes: wait for no first answers any more. A change that does is cancelled."""
        self._interrupted = True
        if self._beginning is not None:
            self._beginning.cancel()

    async def end(self) -> int:
        """Stop everything; returns how many connections had to be closed for it."""
        for server in self.servers.values():
            self._see_off(server)
        for site in self.sites.values():
            self._see_off_site(site)
        if self.issuance is not None:
            self.issuance.stop()
        closed = sum(await asyncio.gather(*self._leaving))
        await self._writers.close()
        self._reactor.close()
        return closed

    def _make(self, name: str, config: ServerConfig, sock: socket.socket, *, issuance: Issuance | None) -> Server:
        return Server(name, config, self._reactor, self._counters, sock=sock, writers=self._writers, issuance=issuance)

    def _see_off(self, server: Server) -> None:
        """Stop accepting now; let open connections end, or close them after the server's shutdown_timeout."""
        server.stop_accepting()
        self._draining.add(server)
        self._see_to(self._drain(server), f"{server.name}: end")

    async def _drain(self, server: Server) -> int:
        await server.drained(self._cut)
        closed = await server.stop()
        self._draining.remove(server)
        log.info("%s: ended%s", server.name, f", {closed} open connections closed" if closed else "")
        return closed

    def _see_off_site(self, site: Site, *, replaced: bool = False) -> None:
        """Stop it, without waiting: the request that asks for it may be one of its own."""

        site.leave()

        async def stop() -> int:
            await site.stop(replaced=replaced)
            return 0

        self._see_to(stop(), f"{site.name}: end")

    def _see_to(self, work: Coroutine[Any, Any, int], name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
