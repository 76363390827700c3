"""Where the checks of one server's backends go: to the backends themselves, or to another host or port."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
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
        self._address: Address | None = None
        self._fresh_until = 0.0

    async def find(self, backend: Backend) -> Target:
        """The target now. Raises NoVerdictError when a host is not resolved."""
        host = self._host or backend.host
        port = 0 if host.startswith(UNIX_PREFIX) else self._port or backend.port
        if self._by_name:
            return Target(host, port, 0, None, backend.sni)
        if self._host:
            family, sockaddr = literal(host, port) or await self._look_up(host, port)
        elif backend.sockaddr is None:
            raise NoVerdictError(f"{host} is not resolved")
        else:
            family, sockaddr = backend.family, _with_port(backend.sockaddr, port)
        header = self._approach.header_of(backend) if self._send_proxy else b""
        return Target(host, port, family, sockaddr, backend.sni, self._approach.source, header)

    def move_on(self, backend: Backend, target: Target) -> bool:
        """The check at this target failed: whether the backend has another address now, to be tried at once."""
        if self._host or self._by_name:
            return False
        return self._next_address(backend, _with_port(target.sockaddr, backend.port))

    async def _look_up(self, host: str, port: int) -> Address:
        """The first address of the name in `host`, looked up once for all checks and kept for a while."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if loop.time() >= self._fresh_until:
                try:
                    found = await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
                    family, _, _, _, sockaddr = found[0]
                    self._address = family, sockaddr
                except (OSError, UnicodeError) as error:  # UnicodeError: a label over 63 characters
                    if self._address is None:
                        raise NoVerdictError(f"cannot resolve {host}: {error}") from error
                self._fresh_until = loop.time() + REFRESH
        assert self._address is not None
        return self._address[0], _with_port(self._address[1], port)


def _with_port(sockaddr: Any, port: int) -> Any:
    """The same address with another port; a UNIX socket has none."""
    return sockaddr if isinstance(sockaddr, str) else (sockaddr[0], port, *sockaddr[2:])
