"""Metrics as a real Prometheus takes them, promtool judges them, and the dashboard asks for them."""

import http.client
import json
import math
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK
from tests.services.prometheus import Prometheus, check_metrics

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "configs" / "grafana-dashboard.json").read_text())
DOCS = (ROOT / "docs" / "metrics.md").read_text()
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]
VARIABLES = {
    one["name"]: one["query"]["query"] for one in DASHBOARD["templating"]["list"] if one["name"] != "datasource"
}
DEAD = f"{LOOPBACK}:1"
OF_ACME = {f"gobetween_acme_{name}" for name in ("issued_total", "failures_total", "failing")}
"""Series that only servers with ACME have."""


class Watched(Balancer):
    """A balancer with API and metrics before one live and one dead backend, which it checks."""

    def __init__(self, backend: str) -> None:
        self.port, self.api, self.metrics = free_port(), free_port(), free_port()
        port = self.port
        super().__init__(
            f'[api]\nenabled = true\nbind = "{LOOPBACK}:{self.api}"\n'
            f'[metrics]\nenabled = true\nbind = "{LOOPBACK}:{self.metrics}"\n'
            '[access_log]\noutput = "/dev/null"\n'
            f'[servers.web]\nbind = "{LOOPBACK}:{port}"\nshutdown_timeout = "0"\n'
            '[servers.web.healthcheck]\nkind = "ping"\ninterval = "200ms"\ntimeout = "1s"\n'
            f'[servers.web.discovery]\nkind = "static"\nstatic_list = {json.dumps([backend, DEAD])}\n'
        )
        self.port = port

    def scrape(self) -> bytes:
        return get(self.metrics, "/metrics")


def get(port: int, path: str) -> bytes:
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=10)
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    finally:
        connection.close()


@contextmanager
def traffic(port: int) -> Iterator[None]:
    """Some requests a second, until the end."""
    over = threading.Event()

    def ask() -> None:
        while not over.wait(0.02):
            get(port, "/name")

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@pytest.fixture
def watched(serve: Serve, nginx: Nginx) -> Watched:
    return serve(Watched(f"{LOOPBACK}:{nginx.port}"))


def test_promtool_has_nothing_to_say_of_a_scrape(watched: Watched) -> None:
    for _ in range(3):
        get(watched.port, "/name")
    assert check_metrics(watched.scrape()) == ""


def test_promtool_would_say_something(watched: Watched) -> None:
    assert "counter metrics should have" in check_metrics(b"# HELP a A.\n# TYPE a counter\na 1\n")


def test_prometheus_takes_every_series(serve: Serve, watched: Watched) -> None:
    prometheus = serve(Prometheus(watched.metrics))
    assert prometheus.wait_for("up == 1")
    series = {line.partition("{")[0].partition(" ")[0] for line in watched.scrape().decode().splitlines()} - {"#"}
    known = {one["metric"]["__name__"] for one in prometheus.wait_for('{job="pygobetween"}')}
    assert series
    assert series - known == set()


def test_what_prometheus_knows_is_what_went_through(serve: Serve, watched: Watched, nginx: Nginx) -> None:
    prometheus = serve(Prometheus(watched.metrics))
    for _ in range(20):
        assert get(watched.port, "/name") == nginx.label.encode()
    [found] = prometheus.wait_for('gobetween_server_closed_connections_total{reason!="shutdown"} == 20')
    assert found["metric"]["server"] == "web"
    live = {one["metric"]["port"]: one["value"][1] for one in prometheus.wait_for("gobetween_backend_live")}
    assert live == {str(nginx.port): "1", "1": "0"}
    for total in ("gobetween_server_rx_total", "sum(gobetween_backend_rx_bytes)"):
        [found] = prometheus.query(total)
        assert float(found["value"][1]) > 20 * len(nginx.label)
    [found] = prometheus.wait_for("gobetween_server_connection_duration_seconds_count == 20")


def test_series_of_a_server_that_is_gone_are_gone(serve: Serve, watched: Watched) -> None:
    prometheus = serve(Prometheus(watched.metrics))
    assert prometheus.wait_for('gobetween_backend_live{server="web"}')
    connection = http.client.HTTPConnection(LOOPBACK, watched.api, timeout=10)
    connection.request("DELETE", "/servers/web")
    assert connection.getresponse().status == 200
    connection.close()
    assert b'server="web"' not in watched.scrape()
    deadline = time.monotonic() + 20
    while prometheus.query('{server="web"}'):
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_every_query_of_the_dashboard_gives_something(serve: Serve, watched: Watched) -> None:
    prometheus = serve(Prometheus(watched.metrics))
    with traffic(watched.port):
        prometheus.wait_for("rate(gobetween_server_accepted_connections_total[5s]) > 0")
        time.sleep(2)
        empty, undefined = [], []
        for query in QUERIES:
            found = prometheus.query(filled(query, watched))
            if not found:
                empty.append(query)
            elif any(math.isnan(float(one["value"][1])) for one in found):
                undefined.append(query)
    assert (empty, undefined) == ([], [])


def test_the_variables_of_the_dashboard_have_values(serve: Serve, watched: Watched) -> None:
    prometheus = serve(Prometheus(watched.metrics))
    values = {}
    for name, query in VARIABLES.items():
        [(series, label)] = re.findall(r"^label_values\((.+), (\w+)\)$", query)
        values[name] = {one["metric"][label] for one in prometheus.wait_for(filled(series, watched))}
    assert values == {"instance": {f"{LOOPBACK}:{watched.metrics}"}, "server": {"web"}}


def filled(query: str, watched: Watched) -> str:
    """A query with a value for each variable of the dashboard."""
    query = query.replace("$__rate_interval", "5s")
    query = query.replace("$instance", f"{LOOPBACK}:{watched.metrics}").replace("$server", ".*")
    assert "$" not in query
    return query


def test_every_query_is_of_the_chosen_instances() -> None:
    """Other programs have process_cpu_seconds_total too."""
    assert [query for query in QUERIES if query.count('{instance=~"$instance"') != query.count("{")] == []


def test_panels_are_whole() -> None:
    """Against Grafana's own schema it was checked by hand (@grafana/schema 11); this is what edits get wrong."""
    assert {panel["type"] for panel in PANELS} == {"stat", "timeseries", "state-timeline"}
    for panel in PANELS:
        assert panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in {"short", "cps", "Bps", "bytes", "s", "percentunit"}
        letters = [target["refId"] for target in panel["targets"]]
        assert letters == list("ABCDE"[: len(letters)])


def test_panels_lie_side_by_side_and_know_their_data_source() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24
        taken |= cells
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    sources = {one["datasource"]["uid"] for panel in PANELS for one in (panel, *panel["targets"])}
    assert sources == {"${datasource}"}
    [chosen] = [one for one in DASHBOARD["templating"]["list"] if one["name"] == "datasource"]
    assert (chosen["type"], chosen["query"]) == ("datasource", "prometheus")


def test_every_series_stands_in_the_manual(watched: Watched) -> None:
    get(watched.port, "/name")
    families = set(re.findall(r"^# TYPE (gobetween_\w+)", watched.scrape().decode(), re.MULTILINE))
    assert {family for family in families if f"`{family}`" not in DOCS} == set()
    named = set(re.findall(r"`((?:gobetween|process)_\w+)`", DOCS)) - OF_ACME
    assert named - set(re.findall(r"^# TYPE (\w+)", watched.scrape().decode(), re.MULTILINE)) == set()


def test_dashboard_asks_for_nothing_that_is_not_in_the_manual() -> None:
    asked: set[Any] = set(re.findall(r"gobetween_\w+", " ".join(QUERIES)))
    names = {
        re.sub(r"_(bucket|sum|count)$", "", name) if "seconds" in name or "_bytes_" in name else name for name in asked
    }
    assert {name for name in names if f"`{name}`" not in DOCS} == set()
