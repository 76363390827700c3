"""Open connections of a server: listed by pages, closed."""

from __future__ import annotations

import heapq
import re
from collections.abc import Callable
from ipaddress import ip_network
from time import monotonic
from typing import Annotated, Literal

from aiohttp import web
from pydantic import AfterValidator, Field
from typing_extensions import TypedDict

from discovery.slices import sliced
from gobetween_py.access_log.line import client_address
from gobetween_py.api import reply
from gobetween_py.api.refusal import Refusal
from gobetween_py.api.route import Call, Query
from gobetween_py.config.override import Address, key_of
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.flow import Flow
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.wheel import TICK
from gobetween_py.web import SLICE

MARK = re.compile(r"^(\d{1,10}-\d{1,20})?$")


def _network(text: str) -> str:
    """The text. Raises ValueError when it is neither an address nor a network."""
    ip_network(text, strict=False)
    return text


def _mark(text: str) -> str:
    """The text. Raises ValueError when it is not what `next` looks like."""
    if not MARK.fullmatch(text):
        raise ValueError("is no `next` of a page")
    return text


class Filter(Query):
    """Which connections."""

    backend: Address | None = None
    """Those to this backend, as host:port, [v6]:port or unix:/path."""
    client: Annotated[str, AfterValidator(_network)] | None = None
    """Those of this client's IP address, or of this network (10.0.0.0/8)."""


class Page(Filter):
    """Which connections, and how many of them."""

    limit: Annotated[int, Field(ge=1, le=1000)] = 100
    after: Annotated[str, AfterValidator(_mark), Field(json_schema_extra={"pattern": MARK.pattern})] = ""
    """The `next` of the page before."""


class ConnectionView(TypedDict):
    """An open connection. Seconds and bytes; rx is what came from the backend. backend is null before it is picked."""

    id: str
    client: str
    backend: str | None
    state: Literal["connecting", "relaying"]
    age: float
    idle: float
    rx: int
    tx: int
    attempts: int


class ConnectionPage(TypedDict):
    """Some connections, the oldest first; `next` for the page after, null when this is the last one."""

    total: int
    next: str | None
    connections: list[ConnectionView]


class Closed(TypedDict):
    """How many connections were closed."""

    closed: int


async def listed(call: Call) -> web.StreamResponse:
    """Open connections, the oldest first, a page at a time. `total` counts them all, whatever the query."""
    query, open_now = call.query, _open(call)
    matches, after = _matcher(query), _place_of(query.after)
    # The oldest ones after that place, the youngest of them on top: of many only one more than the page is held.
    found: list[tuple[int, int, Flow]] = []
    async for connection in sliced(open_now, SLICE):
        begun, fd = _place(connection)
        if (begun, fd) > after and not connection.closed and matches(connection):
            keep = heapq.heappush if len(found) <= query.limit else heapq.heappushpop
            keep(found, (-begun, -fd, connection))
    oldest = [connection for *_, connection in sorted(found, key=lambda item: item[:2], reverse=True)]
    shown = oldest[: query.limit]
    head = {"total": len(open_now), "next": _id(shown[-1]) if len(oldest) > len(shown) else None}
    return await reply.listing(call.request, head, "connections", map(_view, shown))


async def close(call: Call) -> web.StreamResponse:
    """Close open connections: those of a backend, of a client, or all."""
    closed = await call.server.close_connections(_matcher(call.query), Reason.KILLED)
    body: Closed = {"closed": closed}
    return reply.small(body)


async def close_one(call: Call) -> web.StreamResponse:
    """Close one open connection."""
    wanted = call.request.match_info["id"]
    closed = await call.server.close_connections(lambda connection: _id(connection) == wanted, Reason.KILLED)
    if not closed:
        raise Refusal(404, f"server {call.name!r} has no open connection {wanted!r}")
    return reply.small(None)


def _open(call: Call) -> tuple[Flow, ...]:
    listener = call.server.listener
    return tuple(listener.connections) if listener else ()


def _matcher(query: Filter) -> Callable[[Flow], bool]:
    key = key_of(query.backend) if query.backend else None
    clients = Access([(True, ip_network(query.client, strict=False))], default=False) if query.client else None

    def matches(connection: Flow) -> bool:
        backend = connection.backend
        if key is not None and (backend is None or backend.key != key):
            return False
        return clients is None or clients.allows(connection.host)

    return matches


def _place(connection: Flow) -> tuple[int, int]:
    """Where it stands in the order of age: the microsecond of its accept, and its fd. No two open ones do."""
    return round(connection.begun * 1e6), connection.number


def _id(connection: Flow) -> str:
    begun, fd = _place(connection)
    return f"{fd}-{begun}"


def _place_of(name: str) -> tuple[int, int]:
    """Where a connection of this id stands, whether it is still open or not; "" is before all."""
    fd, _, begun = name.partition("-")
    return (int(begun), int(fd)) if name else (-1, 0)


def _view(connection: Flow) -> ConnectionView:
    now, backend, relaying = monotonic(), connection.backend, connection.relaying
    return {
        "id": _id(connection),
        "client": client_address(connection.host, connection.port),
        "backend": backend.address if backend else None,
        "state": "relaying" if relaying else "connecting",
        "age": round(now - connection.begun, 3),
        "idle": round((connection.wheel.now - connection.active) * TICK, 1) if relaying else 0.0,
        "rx": connection.received,
        "tx": connection.sent,
        "attempts": connection.attempts,
    }
