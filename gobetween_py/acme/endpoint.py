"""GET /.well-known/acme-challenge/TOKEN; everything else is sent on to https, as gobetween does."""

from __future__ import annotations

import socket

from aiohttp import web

from gobetween_py.acme.challenges import Challenges
from gobetween_py.config import Bind
from gobetween_py.web import Site


class Endpoint(Site):
    """Answers http-01 (RFC 8555, 8.3) on acme.http_bind.

    Raises:
        BindError: from the constructor.
    """

    def __init__(self, bind: Bind, challenges: Challenges, *, sock: socket.socket | None = None) -> None:
        app = web.Application()
        app.router.add_get("/.well-known/acme-challenge/{token}", self._answer)
        app.router.add_get("/{path:.*}", _to_https)
        super().__init__("ACME challenges", app, bind, sock=sock)
        self.challenges = challenges

    async def _answer(self, request: web.Request) -> web.Response:
        authorization = self.challenges.http.get(request.match_info["token"])
        if authorization is None:
            raise web.HTTPNotFound
        return web.Response(text=authorization, content_type="application/octet-stream")


async def _to_https(request: web.Request) -> web.Response:
    host = request.url.host
    if not host:
        raise web.HTTPBadRequest
    raise web.HTTPFound(request.url.with_scheme("https").with_port(None))
