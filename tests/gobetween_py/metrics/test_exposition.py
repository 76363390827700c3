"""The text of a scrape: whole, grouped, escaped, and made a little at a time."""

import asyncio
import re
import socket
import ssl
from collections import Counter
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families

from balancer import BackendSpec
from gobetween_py.metrics.exposition import exposition
from tests.gobetween_py.running import METRICS, Echo, Running, exchange, server
from tests.services.certificates import Authority

GOBETWEEN = {
    "gobetween_build_info": "gauge",
    "gobetween_server_count": "untyped",
    "gobetween_server_active_connections": "gauge",
    "gobetween_server_rx_total": "counter",
    "gobetween_server_tx_total": "counter",
    "gobetween_server_rx_second": "gauge",
    "gobetween_server_tx_second": "gauge",
    "gobetween_backend_active_connections": "gauge",
    "gobetween_backend_refused_connections": "untyped",
    "gobetween_backend_total_connections": "untyped",
    "gobetween_backend_rx_bytes": "untyped",
    "gobetween_backend_tx_bytes": "untyped",
    "gobetween_backend_rx_second": "gauge",
    "gobetween_backend_tx_second": "gauge",
    "gobetween_backend_live": "gauge",
}
"""The series of gobetween 0.8.2, with their types here: promtool wants a counter to end in _total, and a gauge not to
end in _count."""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


async def scrape(running: Running) -> str:
    reply = await running.call("GET", "/metrics", at="metrics")
    assert reply.status == 200
    assert reply.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    return str(reply.body)


def samples_of(text: str) -> Samples:
    """By name and labels."""
    families = [*text_string_to_metric_families(text)]
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in families
        for sample in family.samples
    }


def of_backend(samples: Samples, name: str, port: int) -> float:
    return samples[f"gobetween_backend_{name}", (("host", "127.0.0.1"), ("port", str(port)), ("server", "web"))]


async def test_every_series_of_gobetween_is_there_with_its_labels_and_type() -> None:
    async with Running(METRICS + server("web", "127.0.0.1:1")) as running:
        text = await scrape(running)
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    assert {name: types.get(name) for name in GOBETWEEN} == GOBETWEEN
    labels = {name: {key for key, _ in of} for name, of in samples_of(text)}
    for name in GOBETWEEN.keys() - {"gobetween_build_info"}:
        expected = {"server"} if name.startswith("gobetween_server_") else {"server", "host", "port"}
        assert labels[name] == expected, name


async def test_figures_are_those_of_the_counters_now() -> None:
    async with Echo() as backend, Running(METRICS + server("web", backend.line)) as running:
        reader, writer = await running.connect()
        await exchange(reader, writer, b"x" * 1000)
        samples = samples_of(await scrape(running))
        for name, value in {
            "active_connections": 1,
            "total_connections": 1,
            "refused_connections": 0,
            "rx_bytes": 1000,
            "tx_bytes": 1000,
            "live": 1,
            "held": 0,
        }.items():
            assert of_backend(samples, name, backend.port) == value, name
        of_web = {name: value for (name, labels), value in samples.items() if labels == (("server", "web"),)}
        assert of_web["gobetween_server_count"] == 1
        assert of_web["gobetween_server_active_connections"] == 1
        assert of_web["gobetween_server_accepted_connections_total"] == 1
        assert of_web["gobetween_server_rx_total"] == 1000
        assert of_web["gobetween_server_connection_duration_seconds_count"] == 0
        writer.close()
        await running.until(lambda: not running.web.open_connections)
        samples = samples_of(await scrape(running))
        assert samples["gobetween_server_connection_duration_seconds_count", (("server", "web"),)] == 1
        assert samples["gobetween_server_closed_connections_total", (("reason", "client"), ("server", "web"))] == 1


async def test_series_of_what_is_gone_are_removed_and_totals_stay() -> None:
    async with Echo() as backend, Running(METRICS + server("web", backend.line) + server("db")) as running:
        reader, writer = await running.connect()
        await exchange(reader, writer, b"x" * 10)
        writer.close()
        await running.until(lambda: not running.web.open_connections)
        await running.web.supply.apply([])
        await running.app.remove("db")
        text = await scrape(running)
        assert f'port="{backend.port}"' not in text
        assert 'server="db"' not in text
        samples = samples_of(text)
        assert samples["gobetween_server_rx_total", (("server", "web"),)] == 10
        assert samples["gobetween_server_count", (("server", "web"),)] == 0


def refused(samples: Samples, name: str) -> dict[str, float]:
    """Clients of a server that got nothing, by cause; those causes that there were."""
    return {
        dict(labels)["cause"]: value
        for (series, labels), value in samples.items()
        if series == "gobetween_server_refused_clients_total" and dict(labels)["server"] == name and value
    }


async def ask_in_vain(port: int, source: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0), ssl=tls)
    assert await reader.read() == b""
    writer.close()


async def test_backends_that_come_and_go_leave_nothing_behind() -> None:
    """Neither in a scrape, nor in what it is made from."""
    check = '[servers.web.healthcheck]\nkind = "ping"\ninterval = "1h"\nmax_fails = 1\n'
    async with Running(METRICS + server("web") + check) as running:
        sizes = []
        for number in range(10):
            await running.web.supply.apply([BackendSpec(f"127.1.{number}.{i}", 9) for i in range(1, 51)])
            text = await scrape(running)
            assert set(re.findall(r'host="127\.1\.(\d+)\.', text)) == {str(number)}
            sizes.append(
                (len(text.splitlines()), len(running.web.counters.values), len(running.web.supply.health.conditions))
            )
        assert len(set(sizes[1:])) == 1  # while they are exchanged there are counters for both


@pytest.mark.parametrize("protocol", ["tcp", "tls"])
async def test_clients_that_got_nothing_are_counted_by_cause(protocol: str, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    extra, tls = "", None
    if protocol == "tls":
        own, tls = authority.issue("localhost"), authority.context()
        paths = f'cert_path = "{own.certificate}", key_path = "{own.key}"'
        extra = f'protocol = "tls"\ntls = {{ {paths}, handshake_timeout = "100ms" }}\n'
    async with Echo() as backend:
        config = METRICS + server("web", extra=extra + 'access = { rules = ["deny 127.0.0.2"] }')
        config += server("full", backend.line, extra=extra + "max_connections = 1")
        async with Running(config) as running:
            port = running.web.port
            await ask_in_vain(port, tls=tls)
            await ask_in_vain(port, "127.0.0.2")
            reader, writer = await running.connect("full")
            await running.until(lambda: running.app.servers["full"].open_connections)
            await ask_in_vain(running.app.servers["full"].port)
            expected = {"access": 1, "no_backend": 1}
            if tls:
                assert await reader.read() == b""
                writer.write(b"no TLS")
                _, stranger = await asyncio.open_connection("127.0.0.1", port)
                stranger.write(b"this is no handshake")
                await running.until(lambda: running.web.listener.refusals["tls_handshake_failed"])  # type: ignore[union-attr]
                expected["tls_handshake_failed"] = 1
                stranger.close()
            writer.close()
            samples = samples_of(await scrape(running))
            assert refused(samples, "web") == expected
            assert refused(samples, "full") == {"limit": 1} | ({"no_tls_handshake": 1} if tls else {})


async def test_clients_of_a_udp_server_that_got_nothing_are_counted_by_cause() -> None:
    extra = 'protocol = "udp"\nclient_idle_timeout = "1m"\n'
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as backend:
        backend.bind(("127.0.0.1", 0))
        config = METRICS + server("web", extra=extra + 'access = { rules = ["deny 127.0.0.2"] }')
        config += server("full", f"127.0.0.1:{backend.getsockname()[1]}", extra=extra + "max_connections = 1")
        async with Running(config) as running:
            servers = running.app.servers.values()
            for each in servers:
                for host in ("127.0.0.1", "127.0.0.2"):
                    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
                        client.bind((host, 0))
                        client.sendto(b"question", ("127.0.0.1", each.port))
            await running.until(lambda: sum(each.listener.refusals.total() for each in servers if each.listener) == 3)
            samples = samples_of(await scrape(running))
            assert refused(samples, "web") == {"access": 1, "no_backend": 1}
            assert refused(samples, "full") == {"limit": 1}
            assert samples["gobetween_server_lost_datagrams_total", (("server", "full"),)] == 0


async def test_names_of_servers_and_hosts_are_escaped() -> None:
    name = 'we"b\\'
    async with Running(METRICS + server("x")) as running:
        await running.app.add(
            name,
            {
                "bind": "127.0.0.1:0",
                "discovery": {"kind": "static", "static_list": ["unix:/run/ü.sock"]},
            },
        )
        samples = samples_of(await scrape(running))
        labels = (("host", "unix:/run/ü.sock"), ("port", "0"), ("server", name))
        assert samples["gobetween_backend_live", labels] == 1


async def test_reloads_discovery_and_the_process_are_told_of() -> None:
    async with Running(METRICS + server("web", "127.0.0.1:1")) as running:
        await running.app.reload("test")  # there is no file to read
        samples = samples_of(await scrape(running))
        assert samples["gobetween_reloads_total", (("outcome", "failure"),)] == 1
        assert samples["gobetween_reload_succeeded", ()] == 0
        discovery = (("kind", "static"), ("server", "web"))
        assert samples["gobetween_discovery_fetches_total", discovery] == 1
        assert samples["gobetween_discovery_backends", discovery] == 1
        assert samples["gobetween_discovery_last_success_timestamp_seconds", discovery] > 1.6e9
        assert samples["process_open_fds", ()] > 3
        assert samples["process_max_fds", ()] > 3


async def test_health_is_told_of_where_somebody_asks_for_it() -> None:
    check = '[servers.web.healthcheck]\nkind = "ping"\ninterval = "50ms"\n'
    async with Running(METRICS + server("web", "127.0.0.1:1") + check + server("db", "127.0.0.1:2")) as running:
        await running.until(lambda: all(c.runs for c in running.web.supply.health.conditions.values()))
        samples = samples_of(await scrape(running))
        runs = {
            dict(labels)["server"]: v
            for (name, labels), v in samples.items()
            if name == "gobetween_healthcheck_runs_total"
        }
        assert runs.keys() == {"web"}
        assert of_backend(samples, "live", 1) == 0


async def test_ten_thousand_backends_are_one_group_a_family_and_nobody_waits_for_them() -> None:
    async with Running(METRICS + server("web")) as running:
        await running.web.supply.apply([BackendSpec(f"10.0.{i // 250}.{i % 250}", 80) for i in range(10_000)])
        turns = 0
        scraping = asyncio.create_task(scrape(running))
        while not scraping.done():
            await asyncio.sleep(0)
            turns += 1
        text = await scraping
        assert turns > 300
        lines = text.splitlines()
        named = [line.partition("{")[0].partition(" ")[0] for line in lines if not line.startswith("#")]
        assert Counter(named)["gobetween_backend_live"] == 10_000
        groups = [name for name, _ in groupby(named)]
        assert len(groups) == len(set(groups))
        comments = [line for line in lines if line.startswith("#")]
        assert len(comments) == len(set(comments))


async def test_pieces_of_a_family_are_put_together() -> None:
    def pieces() -> Iterator[Metric]:
        for part in ("a", "b"):
            family = GaugeMetricFamily("one", "Some.", labels=["part"])
            family.add_metric([part], 1)
            yield family
        yield GaugeMetricFamily("two", "Others.", value=2)

    text = b"".join([piece async for piece in exposition(pieces())])
    assert text == (
        b'# HELP one Some.\n# TYPE one gauge\none{part="a"} 1.0\none{part="b"} 1.0\n'
        b"# HELP two Others.\n# TYPE two gauge\ntwo 2.0\n"
    )
