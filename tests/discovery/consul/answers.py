"""What a server in Consul's place answers: wrong, late, or as a version does that we do not install."""

import json
from typing import Any

from aiohttp import web

from discovery.consul.access import Access
from discovery.consul.client import Consul
from tests.discovery.web import Answer, Web
from tests.services.process import LOOPBACK


def host_of(server: Web) -> str:
    """As `consul_host`."""
    return f"{LOOPBACK}:{server.port}"


def client_of(*servers: Web, **access: Any) -> Consul:
    """A client that asks these servers in turn."""
    return Consul(Access(tuple(host_of(server) for server in servers), **access))


def answering(
    body: object = (), *, status: int = 200, index: int | None = 5, headers: dict[str, str] | None = None
) -> Answer:
    """Always the same: the body if it is bytes, else as JSON."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    sent = {**({} if index is None else {"X-Consul-Index": str(index)}), **(headers or {})}

    async def answer(_request: web.BaseRequest) -> web.Response:
        return web.Response(body=content, status=status, headers=sent)

    return answer


def entry(port: int, *, status: str = "passing", **service: Any) -> dict[str, Any]:
    """An instance on 127.0.0.1 whose node is 127.0.0.9, as Consul tells of it; `service` replaces values."""
    return {
        "Node": {"Node": "n1", "Address": "127.0.0.9"},
        "Service": {
            "ID": f"web-{port}",
            "Service": "web",
            "Tags": [],
            "Address": LOOPBACK,
            "Meta": {},
            "Port": port,
            "Weights": {"Passing": 1, "Warning": 1},
            **service,
        },
        "Checks": [{"CheckID": "serfHealth", "Status": "passing"}, {"CheckID": "service", "Status": status}],
    }
