"""The client's hash modulo the list."""

from collections.abc import Sequence

from balancer.algorithm import Algorithm
from balancer.backend import Backend
from balancer.fnv import client_hash


class IpHash(Algorithm):
    """FNV-1a of the client's IP modulo the backends with room, in order of address: what gobetween picks for that
    list.

    Any change to the list moves most clients; maglev and iphash1 do not. While something is full the list is filtered
    once after each backend that fills up or has room again, which is O(n).
    """

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        self.full_changed()

    def full_changed(self) -> None:
        super().full_changed()
        self._open: Sequence[Backend] = ()  # to be listed by the next choice

    def choose(self, client: str) -> Backend:
        backends = self._open
        if not backends:
            with_room = [backend for backend in self.backends if not backend.full]
            backends = self._open = with_room or self.backends
        return backends[client_hash(client) % len(backends)]
