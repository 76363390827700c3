"""Backends of a server by hand: added beside those that discovery finds, changed, drained, taken out."""

from __future__ import annotations

from typing import Annotated, Self

from aiohttp import web
from pydantic import PlainValidator, WithJsonSchema, model_validator
from typing_extensions import TypedDict

from balancer import Backend
from discovery.duration import Duration
from discovery.entry import make_spec, number
from discovery.fields import Text
from gobetween_py.api import reply
from gobetween_py.api.refusal import Refusal
from gobetween_py.api.reply import when
from gobetween_py.api.route import Call, Query, no_backend, no_server
from gobetween_py.config.override import Override, ProxyProtocol, State
from gobetween_py.config.persist import PersistError
from gobetween_py.edits import Edit
from gobetween_py.overlay import Key
from gobetween_py.reload import UnknownServerError
from gobetween_py.section import Count, RuleError, Section
from gobetween_py.stats import BackendStats, Snapshot

Port = Annotated[
    int,
    PlainValidator(lambda value: number("port", value, 0, 65535)),
    WithJsonSchema({"anyOf": [{"type": "integer", "minimum": 0, "maximum": 65535}, {"type": "string"}]}),
]


class BackendView(BackendStats):
    """A backend, what is counted of it, and what is set by hand. closes_at: when a drain will close its connections."""

    address: str
    manual: bool
    state: State
    closes_at: str | None


class Backends(TypedDict):
    """Backends of a server."""

    backends: list[BackendView]


class NewBackend(Section):
    """A backend to be added."""

    host: Text
    """A name, an IPv4 or IPv6 address, or unix:/path."""
    port: Port = 0
    """1 to 65535, as a number or in quotes; none for unix:/path."""
    weight: Count = 1
    priority: Count = 1
    max_connections: Count = 0
    sni: Text = ""
    proxy_protocol: ProxyProtocol | None = None
    """Version of the PROXY header that it gets, or none; null = as its server says."""
    state: State = "ready"

    @model_validator(mode="after")
    def _is_an_address(self) -> Self:
        try:
            _ = self.address
        except ValueError as error:  # most begin with the key that they are about
            word = str(error).partition(" ")[0]
            raise RuleError(str(error), word if word in type(self).model_fields else "host") from None
        return self

    @property
    def address(self) -> str:
        """In its one spelling. Raises ValueError."""
        return make_spec(self.host, self.port, sni=self.sni).address


class BackendChange(Section):
    """What is to be otherwise; null = as discovery says. What is left out stays as it is."""

    weight: Count | None = None
    priority: Count | None = None
    max_connections: Count | None = None
    sni: Text | None = None
    proxy_protocol: ProxyProtocol | None = None
    state: State | None = None
    """null = ready."""
    deadline: Duration | None = None
    """With state drain: when the connections that are then still open are closed."""

    @model_validator(mode="after")
    def _a_deadline_is_of_a_drain(self) -> Self:
        if self.deadline is not None and self.state != "drain":
            raise RuleError("is only for state 'drain'", "deadline")
        return self

    @model_validator(mode="after")
    def _sni_is_a_name(self) -> Self:
        if self.sni is not None:
            try:
                make_spec("any", 1, sni=self.sni)
            except ValueError as error:
                raise RuleError(str(error), "sni") from None
        return self


class RemoveQuery(Query):
    """How a backend goes."""

    deadline: Duration | None = None
    """When the connections that are then still open are closed; without it they may go on."""


class BackendsQuery(Query):
    """Which backends are listed."""

    state: State | None = None
    manual: bool | None = None
    live: bool | None = None


async def listed(call: Call) -> web.StreamResponse:
    """The backends of a server: those that discovery finds, those added by hand, and gone ones with connections."""
    server, query = call.server, call.query
    snapshot = call.snapshot

    def shown(backend: Backend) -> bool:
        override = server.supply.overlay.overrides.get(backend.key)
        return (
            query.state in (None, override.state if override else "ready")
            and query.manual in (None, override is not None and override.manual)
            and query.live in (None, backend.live)
        )

    views = (_view(snapshot, backend) for backend in snapshot.backends if shown(backend))
    return await reply.listing(call.request, {}, "backends", views)


async def one(call: Call) -> web.StreamResponse:
    """A backend of a server."""
    return _answer(call, call.backend.key)


async def add(call: Call) -> web.StreamResponse:
    """Add a backend by hand. It stays, whatever discovery finds, until it is removed by hand."""
    new = call.body
    wanted = Override(
        address=new.address,
        weight=new.weight,
        priority=new.priority,
        max_connections=new.max_connections,
        sni=new.sni,
        proxy_protocol=new.proxy_protocol,
        state=new.state,
    )

    def edit(before: Override | None) -> Override:
        if before is not None and before.manual:
            raise Refusal(409, f"backend {wanted.address} of server {call.name!r} was added by hand already")
        return wanted

    await _edit(call, wanted.key, edit)
    return _answer(call, wanted.key, 201)


async def change(call: Call) -> web.StreamResponse:
    """Change a backend: its numbers, or its state. It outlives what discovery says later."""
    backend, wanted = call.backend, call.body
    nothing = Override(address=backend.address, manual=False)
    update = {name: getattr(wanted, name) for name in wanted.model_fields_set - {"deadline"}}
    if "state" in update:
        update["state"] = wanted.state or "ready"

    def edit(before: Override | None) -> Override | None:
        after = (before or nothing).model_copy(update=update)
        return None if after == nothing else after

    await _edit(call, backend.key, edit, wanted.deadline)
    return _answer(call, backend.key)


async def remove(call: Call) -> web.StreamResponse:
    """Remove a backend that was added by hand. It gets no new connections; it is listed until its last one ends."""
    key = call.key

    def edit(before: Override | None) -> None:
        server = call.server
        if before is None and server.pool.find(*key) is None:
            raise no_backend(server, call.request.match_info["address"])
        if before is None or (server.supply.overlay.is_found(key) and not before.manual):
            raise Refusal(409, "it was not added by hand: set its state to drain or maint instead")

    await _edit(call, key, edit, call.query.deadline)
    return reply.small(None)


async def _edit(call: Call, key: Key, edit: Edit, deadline: float | None = None) -> None:
    """Raises Refusal for what stands in the way."""
    try:
        await call.app.edit_backend(call.name, key, edit, deadline)
    except UnknownServerError:
        raise no_server(call.name) from None
    except PersistError as error:
        raise Refusal(500, f"nothing was changed: {error}") from None


def _answer(call: Call, key: Key, status: int = 200) -> web.Response:
    snapshot = call.snapshot
    backend = call.server.pool.find(*key)
    if backend is None:  # a reload came in between
        raise Refusal(404, "the backend has gone meanwhile")
    return reply.small(_view(snapshot, backend), status)


def _view(snapshot: Snapshot, backend: Backend) -> BackendView:
    server = snapshot.server
    override = server.supply.overlay.overrides.get(backend.key)
    closes_at = server.edits.deadline(backend.key)
    return {
        **snapshot.of(backend),
        "address": backend.address,
        "manual": override is not None and override.manual,
        "state": override.state if override else "ready",
        "closes_at": None if closes_at is None else when(closes_at),
    }
