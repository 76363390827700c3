"""What has to be done to get from what runs to another config, prepared so far that nothing can fail any more."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from discovery.loop import Loop
from gobetween_py import log as logs
from gobetween_py.acme.issuance import Issuance
from gobetween_py.bind import BindError
from gobetween_py.config import Bind, Config
from gobetween_py.config import Server as ServerConfig
from gobetween_py.config.acme import Acme
from gobetween_py.config.dump import secrets_in
from gobetween_py.handover import Handover
from gobetween_py.healthcheck.health import Health
from gobetween_py.reload import Difference, difference
from gobetween_py.server import Server
from gobetween_py.settings import check_source
from gobetween_py.tls.security import Security
from gobetween_py.web import Site

Make = Callable[[str, ServerConfig, socket.socket], Server]
"""Makes a server that is not started, on a socket that listens."""

MakeSite = Callable[[Config, socket.socket | None], Site]
"""Makes a site that is not started, on its section's bind, or on a socket that listens there already."""


@dataclass(frozen=True, slots=True)
class Change:
    """A server that takes another config in place, what it needs for that, and its new socket where it moves."""

    server: Server
    config: ServerConfig
    sock: socket.socket | None
    discovery: Loop | None
    health: Health | None
    tls: Security | None


class Plan:
    """Servers and sites to start, to change and to stop.

    Life: construct -> prepare -> begin -> switch; or undo, after prepare.

    Args:
        servers, sites: the running ones, by name and by the key of their section.
        draining: servers that were removed before, and may still hold their bind: UDP sessions answer by it.
        make: makes servers.
        sections: makes sites, by the key of their section.
        issuance: where certificates come from once the new config runs.
    """

    def __init__(
        self,
        old: Config,
        new: Config,
        *,
        servers: Mapping[str, Server],
        sites: Mapping[str, Site],
        draining: Iterable[Server],
        make: Make,
        sections: Mapping[str, MakeSite],
        issuance: Issuance | None = None,
    ) -> None:
        self.what = what = difference(old, new)
        self.new = new
        self._old = old
        self._running = servers
        self._draining = tuple(draining)
        self._make = make
        self.issuance = issuance
        # Another protocol is another server: its connections have nothing in common with those of the old one.
        replaced = [name for name in what.changed if new.servers[name].protocol != old.servers[name].protocol]
        self._fresh = [*what.added, *replaced]
        self._changed = [name for name in what.changed if name not in replaced]
        same = [name for name in new.servers if name in old.servers and name not in what.changed]
        self._changed += [name for name in same if _tls(new, name) != _tls(old, name)]  # [acme] differs
        self._moved = [name for name in self._changed if new.servers[name].bind != old.servers[name].bind]
        self._sections = {key: make_site for key, make_site in sections.items() if key in what.sections}
        self.leaving = [servers[name] for name in (*what.removed, *replaced)]
        self.starting: dict[str, Server] = {}
        self.changing: list[Change] = []
        self.sites_leaving = {key: sites[key] for key in self._sections if key in sites}
        self.sites_starting: dict[str, Site] = {}
        self.handler: logging.Handler | None = None
        self._handover = Handover(self._given_up())

    def prepare(self) -> None:
        """Open sockets and the log, make servers and sites: everything that can fail. Nothing that runs is touched.

        Raises:
            BindError, CertificateError, OSError, DiscoveryError, or whatever a plugin raises.
        """
        old, new = self._old, self.new
        if "logging" in self.what.sections or _secrets(old, self.what) != _secrets(new, self.what):
            # Old secrets too: what is being removed goes on for a while.
            secrets = {*old.secrets(), *new.secrets()}
            self.handler = logs.handler_of(new.logging.output, new.logging.format, secrets)
        self._find_sockets()
        for name in self._fresh:
            self.starting[name] = self._make(name, new.servers[name], self._handover.sockets[name])
        for name in self._changed:
            server, config = self._running[name], new.servers[name]
            discovery = server.supply.discovery_of(config) if config.discovery != server.config.discovery else None
            check_source(name, config)
            health = server.supply.health_of(config) if _checks(config) != _checks(server.config) else None
            tls = server.tls_of(config, self.issuance) if _tls(new, name) != _tls(old, name) else None
            self.changing.append(Change(server, config, self._handover.sockets.get(name), discovery, health, tls))
        for key, make_site in self._sections.items():
            if _bind(new, key) is not None:
                self.sites_starting[key] = self._site(key, make_site)

    async def begin(self) -> None:
        """Start what is new and change what goes on, except for where it listens: takes as long as a first answer."""
        await asyncio.gather(
            *(server.begin() for server in self.starting.values()),
            *(
                each.server.change(each.config, discovery=each.discovery, health=each.health, tls=each.tls)
                for each in self.changing
            ),
            *(site.start() for site in self.sites_starting.values()),
        )

    def switch(self) -> None:
        """All binds change hands at once."""
        self._handover.complete()
        for each in self.changing:
            if each.sock is not None:
                each.server.move(each.config.bind, each.sock)
        for server in self.starting.values():
            server.listen()
        running = {**self._running, **self.starting}
        for name, bind, sock in self._handover.within:
            running[name].inherit(bind, sock)

    async def undo(self) -> None:
        """Close what `prepare` opened."""
        self._handover.undo()
        for key, site in self.sites_starting.items():
            await site.stop(replaced=self.replaces(key))
        if self.handler is not None:
            self.handler.close()

    def replaces(self, key: str) -> bool:
        """Whether the section's new site listens on the socket of the one that leaves."""
        leaving = self.sites_leaving.get(key)
        return leaving is not None and leaving.bind == _bind(self.new, key)

    def _site(self, key: str, make: MakeSite) -> Site:
        if self.replaces(key):
            return make(self.new, self.sites_leaving[key].socket.dup())
        try:
            return make(self.new, None)
        except BindError as error:
            raise BindError(f"{key}.{'http_bind' if key == 'acme' else 'bind'}: {error}") from error

    def _find_sockets(self) -> None:
        """A listening socket for each server that is new or moves."""
        servers, handover = self.new.servers, self._handover
        to_open = [name for name in (*self._fresh, *self._moved) if not handover.take(name, servers[name])]
        for name in to_open:
            handover.open(name, servers[name], moving=self._running[name] if name in self._moved else None)

    def _given_up(self) -> Iterator[tuple[Server, Bind, socket.socket]]:
        for server in (*self._draining, *self.leaving):
            for bind, sock in server.sockets.items():
                yield server, bind, sock
        for name, server in self._running.items():
            if server not in self.leaving:
                for bind, sock in server.sockets.items():
                    if name in self._moved or bind != self.new.servers[name].bind:
                        yield server, bind, sock


def _checks(config: ServerConfig) -> object:
    """What health checks are made of."""
    return config.healthcheck, config.source_address, config.proxy_protocol


def _secrets(config: Config, what: Difference) -> set[str]:
    """Those of what differs: to look through 2,000 servers takes 40 ms."""
    servers = (config.servers.get(name) for name in (*what.added, *what.changed, *what.removed))
    sections = (getattr(config, key) for key in what.sections)
    return {secret for section in (*servers, *sections) if section is not None for secret in secrets_in(section)}


def _tls(config: Config, name: str) -> object:
    """All that a server's TLS is made of."""
    server = config.servers[name]
    acme = config.acme if server.tls and server.tls.acme_hosts else None
    return server.tls, server.backends_tls, server.tells_names, acme


def _bind(config: Config, key: str) -> Bind | None:
    """Where a section's site listens; None = it has none."""
    section = getattr(config, key)
    if isinstance(section, Acme):
        return section.http_bind if section.challenge == "http" else None
    return section.bind if section and section.enabled else None
