"""Pools as the tests need them."""

import socket
from collections import Counter
from collections.abc import Iterable

from balancer import Backend, BackendSpec, Counters, Pool

CLIENT = "192.0.2.1"


def specs(count: int, max_connections: int = 0) -> list[BackendSpec]:
    """That many backends, sorted by address."""
    return [
        BackendSpec(f"10.0.{i // 100 + 100}.{i % 100 + 100}", 80, max_connections=max_connections) for i in range(count)
    ]


def weighted(*weights: int) -> list[BackendSpec]:
    """A backend of each weight."""
    return [
        BackendSpec(spec.host, spec.port, weight) for spec, weight in zip(specs(len(weights)), weights, strict=True)
    ]


def ready(algorithm: str, wanted: Iterable[BackendSpec], *, priority_tiers: bool = False) -> Pool:
    """A pool whose backends are live and resolved, with nothing pending."""
    pool = Pool(algorithm, Counters(), priority_tiers=priority_tiers)
    set_specs(pool, wanted)
    return pool


def set_specs(pool: Pool, wanted: Iterable[BackendSpec]) -> None:
    """Update the pool, resolve what is new, and do what is pending."""
    for backend in pool.update(wanted).added:
        resolve(pool, backend)
    settle(pool)


def resolve(pool: Pool, backend: Backend) -> None:
    pool.set_resolved(backend, socket.AF_INET, (backend.host, backend.port))


def settle(pool: Pool) -> None:
    for _ in pool.pending:
        pass


def pick(pool: Pool, client: str = CLIENT, tried: Iterable[Backend] = ()) -> str | None:
    """The address of the backend picked for a connection that is over at once."""
    backend = pool.acquire(client, tuple(tried))
    if backend is None:
        return None
    pool.release(backend)
    return backend.address


def picks(pool: Pool, count: int) -> Counter[str | None]:
    """How often each address is picked for so many connections that are over at once."""
    return Counter(pick(pool) for _ in range(count))


def named(pool: Pool, address: str) -> Backend:
    return next(backend for backend in pool.backends if backend.address == address)


class AllBut:
    """Every backend but one, as the tried ones of a connection."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    def __contains__(self, other: object) -> bool:
        return other is not self.backend


def fill(pool: Pool, *backends: Backend) -> None:
    """Open connections to these backends until they are full."""
    for backend in backends:
        while not backend.full:
            assert pool.acquire(CLIENT, AllBut(backend)) is backend


def clients(count: int) -> list[str]:
    """Different IPv4 clients, spread over the address space."""
    return [".".join(str(byte) for byte in (i * 2654435761 % 2**32).to_bytes(4, "big")) for i in range(count)]
