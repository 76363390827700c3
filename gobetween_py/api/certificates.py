"""The certificates that clients are shown, and how it goes with those that have to be ordered."""

from __future__ import annotations

from aiohttp import web
from typing_extensions import TypedDict

from gobetween_py.acme.issuance import Status
from gobetween_py.api import reply
from gobetween_py.api.reply import when
from gobetween_py.api.route import Call
from gobetween_py.api.status import servers_asked_for
from gobetween_py.server import Server
from gobetween_py.tls.certificates import Certificate


class CertificateView(TypedDict):
    """A certificate of a server, and for which names. It is valid from begins to ends."""

    server: str
    names: list[str]
    begins: str
    ends: str


class OrderView(TypedDict):
    """How the orders for a host of acme_hosts went. last_error is of the latest failure, and stays after recovery."""

    server: str
    host: str
    issued: int
    failures: int
    failing: bool
    last_error: str


class Certificates(TypedDict):
    """Those of all servers."""

    orders: list[OrderView]
    certificates: list[CertificateView]


async def certificates(call: Call) -> web.StreamResponse:
    """The certificates that clients are shown, and how it goes with those that an ACME authority issues."""
    servers = servers_asked_for(call)
    orders = [_order(server.name, host, status) for server in servers for host, status in server.tls.orders.items()]
    shown = (_certificate(server, each) for server in servers for each in server.tls.certificates)
    return await reply.listing(call.request, {"orders": orders}, "certificates", shown)


def _order(server: str, host: str, status: Status) -> OrderView:
    return {
        "server": server,
        "host": host,
        "issued": status.issued,
        "failures": status.failures,
        "failing": status.failing,
        "last_error": status.last_error,
    }


def _certificate(server: Server, certificate: Certificate) -> CertificateView:
    begins, ends = when(certificate.begins), when(certificate.ends)
    return {"server": server.name, "names": sorted(certificate.names), "begins": begins, "ends": ends}
