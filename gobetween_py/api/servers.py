"""Servers: listed, made, changed, removed; their stats."""

from __future__ import annotations

from collections.abc import Awaitable
from hashlib import sha256

from aiohttp import web

from discovery.contract import DiscoveryError
from gobetween_py.access_log import OutputError
from gobetween_py.api import reply
from gobetween_py.api.body import refused
from gobetween_py.api.refusal import Refusal
from gobetween_py.api.route import Call, no_server
from gobetween_py.bind import BindError
from gobetween_py.config import ConfigErrors
from gobetween_py.config.dump import plain, secrets_in
from gobetween_py.config.edit import ClashError
from gobetween_py.config.persist import PersistError
from gobetween_py.config.server import Server as ServerConfig
from gobetween_py.reload import NameTakenError, UnknownServerError
from gobetween_py.web import CertificateError

LONGEST = 255
"""Characters of a server's name."""


async def listed(call: Call) -> web.StreamResponse:
    """All servers with their config, with *** for secrets."""
    servers = tuple(call.app.servers.items())
    return await reply.table(call.request, ((name, plain(server.config)) for name, server in servers))


async def one(call: Call) -> web.StreamResponse:
    """The config of a server, with *** for secrets. Its ETag is for If-Match of a later change."""
    config = call.server.config
    return await reply.whole(call.request, plain(config), headers={"ETag": _etag(config)})


async def stats(call: Call) -> web.StreamResponse:
    """Counters of a server and of each of its backends. rx is what comes from backends, tx what goes to them."""
    snapshot = call.snapshot
    return await reply.listing(call.request, snapshot.totals(), "backends", snapshot.of_backends())


async def add(call: Call) -> web.StreamResponse:
    """Start a server. It gets connections once its discovery has answered."""
    if not call.name.isprintable() or len(call.name) > LONGEST or call.name in (".", ".."):
        raise Refusal(422, f"a server's name is printable, at most {LONGEST} characters long, and neither . nor ..")
    await _carry_out(call, call.app.add(call.name, call.body))
    return reply.small(None)


async def change(call: Call) -> web.StreamResponse:
    """Give a server another config, whole. Connections, backends and what is counted of them stay."""
    async with call.comparing:
        _require_match(call)
        await _carry_out(call, call.app.change(call.name, call.body))
    return reply.small(None, headers={"ETag": _etag(call.server.config)})


async def remove(call: Call) -> web.StreamResponse:
    """Stop a server. It is gone at once; its connections may end within its shutdown_timeout."""
    async with call.comparing:
        _require_match(call)
        await _carry_out(call, call.app.remove(call.name))
    return reply.small(None)


async def _carry_out(call: Call, change: Awaitable[None]) -> None:
    """Raises Refusal for what stands in the way."""
    try:
        await change
    except UnknownServerError:
        raise no_server(call.name) from None
    except (NameTakenError, ClashError, BindError) as error:
        raise Refusal(409, str(error)) from None
    except ConfigErrors as errors:
        raise refused(errors) from None
    except PersistError as error:
        raise Refusal(500, f"nothing was changed: {error}") from None
    except (CertificateError, DiscoveryError, OutputError, OSError) as error:
        raise Refusal(422, str(error)) from None


def _require_match(call: Call) -> None:
    """Raises Refusal when the request was meant for another state of the server's config (RFC 9110, 13.1.1)."""
    wanted = call.request.headers.get("If-Match")
    if wanted not in (None, "*", _etag(call.server.config)):
        raise Refusal(412, f"server {call.name!r} has been changed meanwhile")


def _etag(config: ServerConfig) -> str:
    text = "\0".join((config.model_dump_json(), *secrets_in(config)))
    return f'"{sha256(text.encode()).hexdigest()[:16]}"'
