"""How discovery and health checks of the servers went lately."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web
from typing_extensions import TypedDict

from balancer import Backend
from gobetween_py.api import reply
from gobetween_py.api.reply import when
from gobetween_py.api.route import Call, Query, no_server
from gobetween_py.healthcheck.condition import State
from gobetween_py.healthcheck.loop import Outcome
from gobetween_py.server import Server


class DiscoveryStatus(TypedDict):
    """One server's discovery. Durations are seconds. last_error is of the latest failure, and stays after recovery."""

    server: str
    kind: str
    failing: bool
    backends: int
    skipped: int
    fetches: int
    failures: int
    pushes: int
    last_success: str | None
    last_duration: float
    last_error: str


class Discoveries(TypedDict):
    """All discoveries."""

    discovery: list[DiscoveryStatus]


class LastCheck(TypedDict):
    """The latest check of a backend; passed is null when it could not tell. Durations are seconds."""

    passed: bool | None
    result: str
    started: str
    duration: float


class BackendHealth(TypedDict):
    """What health checks and failed connects say of a backend. last_error stays after recovery."""

    server: str
    address: str
    kind: str
    state: State
    since: str
    runs: int
    failures: int
    ejections: int
    last: LastCheck | None
    last_error: str


class Healthchecks(TypedDict):
    """All backends of all servers."""

    healthchecks: list[BackendHealth]


class OfServer(Query):
    """Of which server."""

    server: str | None = None


async def discovery(call: Call) -> web.StreamResponse:
    """The last fetches of each server's discovery, and what went wrong."""
    return await reply.listing(call.request, {}, "discovery", map(_discovery, servers_asked_for(call)))


async def healthchecks(call: Call) -> web.StreamResponse:
    """The last health check of each backend, its state, and what went wrong."""
    servers = servers_asked_for(call)
    found = (_health(server, backend) for server in servers for backend in server.pool.backends)
    return await reply.listing(call.request, {}, "healthchecks", (health for health in found if health is not None))


def _health(server: Server, backend: Backend) -> BackendHealth | None:
    """None for a backend that is gone, and has connections still: it is not checked any more."""
    condition = server.supply.health.conditions.get(backend)
    if condition is None:
        return None
    return {
        "server": server.name,
        "address": backend.address,
        "kind": server.config.healthcheck.kind,
        "state": condition.state,
        "since": when(condition.since),
        "runs": condition.runs,
        "failures": condition.failures,
        "ejections": condition.ejection.count,
        "last": _last_check(condition.last) if condition.last else None,
        "last_error": condition.last_error,
    }


def _last_check(outcome: Outcome) -> LastCheck:
    return {
        "passed": outcome.passed,
        "result": outcome.result,
        "started": when(outcome.started),
        "duration": round(outcome.duration, 6),
    }


def servers_asked_for(call: Call) -> Iterable[Server]:
    """The one asked for, or all. Raises Refusal 404."""
    servers, name = call.app.servers, call.query.server
    if name is None:
        return tuple(servers.values())
    if name not in servers:
        raise no_server(name)
    return (servers[name],)


def _discovery(server: Server) -> DiscoveryStatus:
    status = server.supply.discovery.status
    return {
        "server": server.name,
        "kind": server.config.discovery.kind,
        "failing": status.failing,
        "backends": status.backends,
        "skipped": status.skipped,
        "fetches": status.fetches,
        "failures": status.failures,
        "pushes": status.pushes,
        "last_success": None if status.last_success is None else when(status.last_success),
        "last_duration": round(status.last_duration, 6),
        "last_error": status.last_error,
    }
