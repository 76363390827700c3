"""The site: who may, from a request to a Call, and what comes of it."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from ipaddress import ip_address
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from aiohttp import web

from gobetween_py.api import reply
from gobetween_py.api.auth import Auth
from gobetween_py.api.body import checked, checked_query, read_json
from gobetween_py.api.refusal import Refusal
from gobetween_py.api.route import CONFIG, Call, Route
from gobetween_py.api.routes import ROUTES
from gobetween_py.api.secure import Secure
from gobetween_py.config.models import Api
from gobetween_py.web import Site

if TYPE_CHECKING:
    from gobetween_py.app import App

log = logging.getLogger("pygobetween.api")

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

CORS = {
    # With "*" a browser sends no credentials of its own accord: a page has to know them.
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match",
    "Access-Control-Expose-Headers": "ETag",
    "Access-Control-Max-Age": "600",
}


class Endpoint(Site):
    """The API of a running App.

    Raises:
        BindError, CertificateError: from the constructor.
    """

    def __init__(self, app: App, config: Api, *, sock: socket.socket | None = None) -> None:
        self._app = app
        self._auth = Auth(config)
        self._cors = config.cors
        self._trusts_this_machine = config.bind.is_loopback and not self._auth.asked
        self._comparing = asyncio.Lock()
        self._renewal: asyncio.Task[None] | None = None
        self._changes: set[asyncio.Task[web.StreamResponse]] = set()
        application = web.Application(middlewares=[self._refuse_in_json])
        application.on_response_prepare.append(self._add_headers)
        for route in ROUTES:
            path = route.path.replace("{address}", "{address:.+}")  # that of a UNIX socket has slashes
            for method in ("GET", "HEAD") if route.method == "GET" else (route.method,):
                application.router.add_route(method, path, self._handler(route))
        self._secure = Secure(config.tls) if config.tls else None
        context = self._secure.context if self._secure else None
        super().__init__("API", application, config.bind, context, sock=sock)

    async def start(self) -> None:
        await super().start()
        if self._secure is not None:
            self._renewal = asyncio.create_task(self._secure.renewal.run(), name="API: tls")

    async def stop(self, *, replaced: bool = False) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)
        await super().stop(replaced=replaced)

    def _handler(self, route: Route) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            known = self._auth.admits(request.headers.get("Authorization", ""))
            if not (known or route.public):
                raise Refusal(401, "credentials are needed", headers={"WWW-Authenticate": self._auth.challenge})
            query = checked_query(route.query, request)
            if route.method == "GET":
                return await route.answer(Call(self._app, request, self._comparing, query, known=known))
            self._require_our_origin(request)
            call = Call(self._app, request, self._comparing, query, await _body(route, request))
            # It is carried through even when the client leaves: half a change is none that anybody asked for.
            change = asyncio.create_task(self._change(route, call))
            self._changes.add(change)
            change.add_done_callback(self._changes.discard)
            return await asyncio.shield(change)

        return handle

    async def _change(self, route: Route, call: Call) -> web.StreamResponse:
        response = await route.answer(call)
        log.info("%s: %s %s", _client(call.request), route.method, call.request.path)
        return response

    def _require_our_origin(self, request: web.Request) -> None:
        """Raises Refusal 403 for a change that another site's page makes a browser send."""
        origin = request.headers.get("Origin")
        if origin is None or self._cors:
            return
        if origin.partition("://")[2] != request.host:
            raise Refusal(403, "pages of other origins may not change anything: api.cors is off")
        # A page's own name may be made to lead to this machine (DNS rebinding): then only its name gives it away.
        if self._trusts_this_machine and not _is_of_this_machine(request.host):
            raise Refusal(403, f"pages of {request.host} may not change anything: ask by localhost, or set credentials")

    @web.middleware
    async def _refuse_in_json(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            if self._cors and request.method == "OPTIONS" and "Access-Control-Request-Method" in request.headers:
                return web.Response(status=204)
            return await handler(request)
        except Refusal as refusal:
            if refusal.problems:  # there may be thousands
                return await reply.whole(request, refusal.body(), refusal.status, refusal.headers)
            response = reply.small(refusal.body(), refusal.status, refusal.headers)
        except web.HTTPMethodNotAllowed as error:
            allow = ", ".join(sorted(error.allowed_methods))
            response = reply.small({"error": f"not with {request.method}, but {allow}"}, error.status, {"Allow": allow})
        except web.HTTPException as error:  # the router's
            reason = f"there is no path {request.path!r}" if error.status == 404 else error.reason
            response = reply.small({"error": reason}, error.status)
        except ConnectionError:
            raise
        except Exception:
            log.exception("defect in %s %s", request.method, request.path)
            response = reply.small({"error": "a defect was met; the log tells more"}, 500)
        if "Connection" in response.headers:
            response.force_close()
        return response

    async def _add_headers(self, _request: web.Request, response: web.StreamResponse) -> None:
        response.headers["Server"] = "pygobetween"
        response.headers["Cache-Control"] = "no-store"
        response.headers["X-Content-Type-Options"] = "nosniff"
        if self._cors:
            response.headers.update(CORS)


async def _body(route: Route, request: web.Request) -> object:
    if route.body is None:
        return None
    if route.body == CONFIG:
        return await read_json(request, nulls=False)
    return await asyncio.to_thread(checked, route.body, await read_json(request))


def _is_of_this_machine(host: str) -> bool:
    """Whether the Host of a request is localhost or an address, with or without a port."""
    with suppress(ValueError):
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or bool(ip_address(name))
    return False


def _client(request: web.Request) -> str:
    peer = request.transport.get_extra_info("peername") if request.transport else None
    return f"{peer[0]}:{peer[1]}" if isinstance(peer, tuple) else "unix"
