"""Everything that the API can do, a row each."""

from typing import Any

from gobetween_py.api import backends, certificates, connections, description, root, servers, status
from gobetween_py.api.route import CONFIG, Returns, Route
from gobetween_py.stats import ServerStats

NULL = Returns()
TEXT, HTML, TEXT_OR_JSON = ("text/plain",), ("text/html",), ("text/plain", "application/json")
SERVER = "/servers/{name}"
BACKENDS, CONNECTIONS = f"{SERVER}/backends", f"{SERVER}/connections"
BACKEND, CONNECTION = f"{BACKENDS}/{{address}}", f"{CONNECTIONS}/{{id}}"

ROUTES = (
    Route("GET", "/", root.about, Returns(root.About)),
    Route("GET", "/ping", root.ping, Returns(str, content=TEXT), public=True),
    Route("GET", "/ready", root.ready, Returns(root.Readiness, also=503), public=True),
    Route("GET", "/dump", root.dump, Returns("Config", content=TEXT_OR_JSON), query=root.DumpQuery),
    Route("GET", "/reload", root.reloads, Returns(root.Reloads)),
    Route("POST", "/reload", root.reload, Returns(root.ReloadBody), query=root.ReloadQuery, refusals=(422,)),
    Route("GET", "/servers", servers.listed, Returns(dict[str, Any])),
    Route("GET", SERVER, servers.one, Returns(CONFIG), refusals=(404,)),
    Route("POST", SERVER, servers.add, NULL, body=CONFIG, refusals=(409, 422, 500)),
    Route("PUT", SERVER, servers.change, NULL, body=CONFIG, refusals=(404, 409, 412, 422, 500)),
    Route("DELETE", SERVER, servers.remove, NULL, refusals=(404, 412, 500)),
    Route("GET", f"{SERVER}/stats", servers.stats, Returns(ServerStats), refusals=(404, 503)),
    Route(
        "GET", BACKENDS, backends.listed, Returns(backends.Backends), query=backends.BackendsQuery, refusals=(404, 503)
    ),
    Route(
        "POST",
        BACKENDS,
        backends.add,
        Returns(backends.BackendView, 201),
        body=backends.NewBackend,
        refusals=(404, 409, 422, 500, 503),
    ),
    Route("GET", BACKEND, backends.one, Returns(backends.BackendView), refusals=(404, 503)),
    Route(
        "PATCH",
        BACKEND,
        backends.change,
        Returns(backends.BackendView),
        body=backends.BackendChange,
        refusals=(404, 422, 500, 503),
    ),
    Route("DELETE", BACKEND, backends.remove, NULL, query=backends.RemoveQuery, refusals=(404, 409, 500)),
    Route(
        "GET", CONNECTIONS, connections.listed, Returns(connections.ConnectionPage), connections.Page, refusals=(404,)
    ),
    Route("DELETE", CONNECTIONS, connections.close, Returns(connections.Closed), connections.Filter, refusals=(404,)),
    Route("DELETE", CONNECTION, connections.close_one, NULL, refusals=(404,)),
    Route("GET", "/discovery", status.discovery, Returns(status.Discoveries), status.OfServer, refusals=(404,)),
    Route(
        "GET",
        "/healthchecks",
        status.healthchecks,
        Returns(status.Healthchecks),
        status.OfServer,
        refusals=(404,),
    ),
    Route(
        "GET",
        "/certificates",
        certificates.certificates,
        Returns(certificates.Certificates),
        status.OfServer,
        refusals=(404,),
    ),
    Route("GET", "/openapi.json", description.openapi, Returns(dict[str, Any]), public=True),
    Route("GET", "/docs", description.page, Returns(str, content=HTML), public=True),
)
