"""Where the checks of one server's backends go: to the backends themselves, or to another host or port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from balancer import Backend
from balancer.backend import UNIX_PREFIX
from gobetween_py.healthcheck.contract import NoVerdictError, Options, Target
from gobetween_py.proxy.source import Source
from gobetween_py.resolve import REFRESH, Address, literal


@dataclass(frozen=True, slots=True)
class Approach:
    """How the connections of clients come to backends, which those of checks imitate.

    Args:
        source: the address that they come from; None = as the kernel chooses.
        header_of: the PROXY header of a connection that is nobody's, as a backend wants it; b"" = it wants none.
    """

    source: Source | None = None
    header_of: Callable[[Backend], bytes] = lambda backend: b""


PLAIN = Approach()


class Places:
    """Finds the target of each check.

    Args:
        approach: how its connections come there.
        by_name: targets need no resolved address.
        next_address: told that a backend did not answer at a sockaddr; True when it has another one now.
    """

    def __init__(
        self,
        options: Options,
        *,
        by_name: bool,
        next_address: Callable[[Backend, Any], bool],
        approach: Approach = PLAIN,
    ) -> None:
        self._host, self._port = options.host, options.port
        self._approach = approach
        elsewhere = bool(options.host or options.port)
        self._send_proxy = not elsewhere if options.send_proxy is None else options.send_proxy
        self._by_name = by_name
        self._next_address = next_address
        self._lock = asyncio.Lock()
        self._addresses: list[Address] = []  # of the name in `host`; the one that a check begins with comes first
        self._fresh_until = 0.0

    async def find(self, backend: Backend, tried: Sequence[Target] = ()) -> Target:
        """The target now, after those at which the same check has failed so far.

        Raises NoVerdictError when a host is not resolved.
        """
        host = self._host or backend.host
        port = 0 if host.startswith(UNIX_PREFIX) else self._port or backend.port
        if self._by_name:
            return Target(host, port, 0, None, backend.sni)
        if self._host:
            family, sockaddr = literal(host, port) or await self._look_up(host, port, tried)
        elif backend.sockaddr is None:
            raise NoVerdictError(f"{host} is not resolved")
        else:
            family, sockaddr = backend.family, _with_port(backend.sockaddr, port)
        header = self._approach.header_of(backend) if self._send_proxy else b""
        return Target(host, port, family, sockaddr, backend.sni, self._approach.source, header)

    def move_on(self, backend: Backend, tried: Sequence[Target]) -> bool:
        """The check failed at these, at the last one just now: whether there is another address to try at once."""
        if self._by_name:
            return False
        if not self._host:
            return self._next_address(backend, _with_port(tried[-1].sockaddr, backend.port))
        addresses = self._addresses
        if addresses and _with_port(addresses[0][1], tried[-1].port) == tried[-1].sockaddr:
            addresses.append(addresses.pop(0))
        return len(tried) < len(addresses)

    async def _look_up(self, host: str, port: int, tried: Sequence[Target]) -> Address:
        """An address of the name in `host`, which is looked up once for all checks; one not tried if there is any."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() >= self._fresh_until:
                try:
                    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                    self._take([(family, sockaddr) for family, _, _, _, sockaddr in found])
                except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters
                    if not self._addresses:
                        raise NoVerdictError(f"cannot resolve {host}: {error}") from error
                self._fresh_until = loop.time() + REFRESH
        there = [(family, _with_port(sockaddr, port)) for family, sockaddr in self._addresses]
        at = {target.sockaddr for target in tried}
        return next((address for address in there if address[1] not in at), there[0])

    def _take(self, addresses: list[Address]) -> None:
        """The name's addresses now; the one that answered last stays the first."""
        first = self._addresses[:1]
        self._addresses = sorted(addresses, key=lambda address: address not in first)


def _with_port(sockaddr: Any, port: int) -> Any:
    """The same address with another port; a UNIX socket has none."""
    return sockaddr if isinstance(sockaddr, str) else (sockaddr[0], port, *sockaddr[2:])
