"""Host names of backends -> addresses, without blocking, and kept fresh.

A backend given by address or as a UNIX socket is ready at once. A name is looked up with the system's resolver in the
event loop's threads and again every `REFRESH` seconds; when a look-up fails the last addresses stay. A name may have
several addresses ("localhost": ::1 and 127.0.0.1): the data plane moves on to the next when one does not answer.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from balancer import Backend, Pool

log = logging.getLogger("pygobetween.resolve")

REFRESH = 10.0
"""Seconds between look-ups of a name: getaddrinfo tells no TTL."""

AT_ONCE = 8
"""Look-ups under way at a time."""

TOGETHER = 0.05
"""Seconds that a found address may wait for those of other names."""

Address = tuple[int, Any]
"""(address family, sockaddr)"""

Addresses = tuple[Address, ...]
"""In the order in which they are tried."""


class Resolver:
    """Keeps the addresses of one pool's backends.

    Args:
        name: the server's, for the log.

    Attributes:
        on_resolved: who is told of backends whose name was looked up; may be set at any time.
    """

    def __init__(self, name: str, pool: Pool) -> None:
        self.on_resolved: Callable[[Iterable[Backend]], None] = lambda backends: None
        self._name = name
        self._pool = pool
        self._failing: set[str] = set()
        self._asked = asyncio.Event()
        self._named: dict[Backend, Addresses] = {}
        self._news: dict[Backend, Address] = {}
        self.settled = asyncio.Event()
        """Set while every name has been looked up at least once."""
        self.settled.set()

    def take(self, backends: Iterable[Backend]) -> None:
        """New backends: those without an address are looked up as soon as `run` gets to them."""
        if any(backend.sockaddr is None for backend in backends):
            self.settled.clear()
            self._asked.set()

    def next_address(self, backend: Backend, sockaddr: Any) -> bool:
        """The backend did not answer at `sockaddr`: move on to its next address; False when that was the last one.

        Several connections may fail at the same address at once: only the first of them moves the backend on.
        """
        addresses = self._named.get(backend, ())
        known = [address for _, address in addresses]
        if sockaddr not in known:
            return False
        index = (known.index(sockaddr) + 1) % len(known)
        if backend.sockaddr == sockaddr:
            self._pool.set_resolved(backend, *addresses[index])
        return index > 0

    async def run(self) -> None:
        """Look names up until cancelled."""
        while True:
            self._asked.clear()
            await self._look_up([b for b in self._pool.backends if b.sockaddr is None])
            if not self._asked.is_set():
                self.settled.set()
            try:
                async with asyncio.timeout(REFRESH):
                    await self._asked.wait()
            except TimeoutError:
                listed = self._pool.backends
                self._named = {backend: self._named[backend] for backend in listed if backend in self._named}
                await self._look_up(self._named)

    async def _look_up(self, backends: Iterable[Backend]) -> None:
        by_host: dict[str, list[Backend]] = {}
        for backend in backends:
            by_host.setdefault(backend.host, []).append(backend)
        hosts = iter(by_host.items())
        async with asyncio.TaskGroup() as tasks:
            for _ in range(min(AT_ONCE, len(by_host))):
                tasks.create_task(self._look_up_hosts(hosts))
        self._tell()

    async def _look_up_hosts(self, hosts: Iterator[tuple[str, list[Backend]]]) -> None:
        for host, backends in hosts:
            await self._look_up_host(host, backends)

    async def _look_up_host(self, host: str, backends: list[Backend]) -> None:
        try:
            found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters
            if host not in self._failing:
                self._failing.add(host)
                kept = (
                    "its last addresses are kept" if backends[0] in self._named else "its backends take no connections"
                )
                log.warning("%s: cannot resolve %s: %s; %s", self._name, host, error, kept)
            return
        if host in self._failing:
            self._failing.discard(host)
            log.info("%s: %s resolves again", self._name, host)
        for backend in backends:
            addresses = tuple(
                (family, (sockaddr[0], backend.port, *sockaddr[2:])) for family, _, _, _, sockaddr in found
            )
            self._named[backend] = addresses
            if (backend.family, backend.sockaddr) not in addresses:
                if not self._news:
                    asyncio.get_running_loop().call_later(TOGETHER, self._tell)
                self._news[backend] = addresses[0]

    def _tell(self) -> None:
        """Hand the new addresses to the pool, which then prepares its picks anew, once."""
        news, self._news = self._news, {}
        for backend, address in news.items():
            self._pool.set_resolved(backend, *address)
        self.on_resolved(news)


def literal(host: str, port: int) -> Address | None:
    """Return the address of a backend that needs no look-up, else None."""
    if host.startswith("unix:"):
        return socket.AF_UNIX, host.removeprefix("unix:")
    bare, _, scope = host.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.inet_pton(family, bare)  # a tenth of the time of ipaddress
        if family == socket.AF_INET:
            return None if scope else (family, (host, port))
        # "fe80::1%eth0": the kernel wants the interface's number
        return family, (bare, port, 0, socket.if_nametoindex(scope) if scope else 0)
    except (OSError, ValueError):  # ValueError: a NUL
        return None
