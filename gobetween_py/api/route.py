"""What a route of the API is, and what the function that answers it gets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aiohttp import web
from pydantic import BaseModel, ConfigDict

from balancer import Backend
from gobetween_py.api.refusal import Refusal
from gobetween_py.config.override import key_of
from gobetween_py.overlay import Key
from gobetween_py.server import Server
from gobetween_py.stats import Snapshot, snapshots

if TYPE_CHECKING:
    from gobetween_py.app import App


class Query(BaseModel):
    """The keys of a query; this one has none."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


@dataclass(frozen=True, slots=True)
class Call:
    """One request, its query and body checked.

    Attributes:
        comparing: held from a look at a server's config until it is changed, so that nobody else does in between.
        query: of the route's `query`.
        body: of the route's `body`; plain data where that is CONFIG; None where it takes none.
        known: whether it came with credentials, or none are asked for: of public routes not everybody sees everything.
    """

    app: App
    request: web.Request
    comparing: asyncio.Lock
    query: Any = None
    body: Any = None
    known: bool = True

    @property
    def name(self) -> str:
        """The server's name in the path."""
        return self.request.match_info["name"]

    @property
    def server(self) -> Server:
        """The server in the path. Raises Refusal 404."""
        server = self.app.servers.get(self.name)
        if server is None:
            raise no_server(self.name)
        return server

    @property
    def snapshot(self) -> Snapshot:
        """The figures of the server in the path, now. Raises Refusal 404, or 503 where it has not started yet."""
        taken = snapshots([self.server])
        if not taken:
            raise Refusal(503, f"server {self.name!r} does not accept yet")
        return taken[0]

    @property
    def key(self) -> Key:
        """The backend in the path, by host and port. Raises Refusal 404 where it is no address at all."""
        address = self.request.match_info["address"]
        try:
            return key_of(address)
        except ValueError as error:
            raise Refusal(404, str(error)) from None

    @property
    def backend(self) -> Backend:
        """The listed backend in the path. Raises Refusal 404."""
        backend = self.server.pool.find(*self.key)
        if backend is None:
            raise no_backend(self.server, self.request.match_info["address"])
        return backend


Answer = Callable[[Call], Awaitable[web.StreamResponse]]

CONFIG: Literal["Server"] = "Server"
"""The table of `[servers.NAME]`, which the config checks."""


class Returns(NamedTuple):
    """What a route answers with.

    schema: a type that pydantic can describe; text = a section of the config by the name of its model; None = the JSON
    null. also: another status that the same comes with.
    """

    schema: Any = None
    status: int = 200
    also: int | None = None
    content: tuple[str, ...] = ("application/json",)


@dataclass(frozen=True, slots=True)
class Route:
    """A row of the table of routes. The docstring of `answer` describes it.

    Args:
        path: with {name} for a server and {address} for a backend.
        refusals: statuses that it may answer with, beside those that any route may.
        public: whether it is answered without credentials.
    """

    method: Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
    path: str
    answer: Answer
    returns: Returns
    query: type[Query] = Query
    body: type[BaseModel] | Literal["Server"] | None = None
    refusals: tuple[int, ...] = ()
    public: bool = False


def no_server(name: str) -> Refusal:
    """Asked for a server that is not there."""
    return Refusal(404, f"there is no server {name!r}")


def no_backend(server: Server, address: str) -> Refusal:
    """Asked for a backend that is not there."""
    return Refusal(404, f"server {server.name!r} has no backend {address!r}")
