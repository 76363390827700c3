"""What is counted at the end of a connection."""

import asyncio
import contextlib

import pytest

from gobetween_py.config import load
from gobetween_py.metrics.counted import BYTES, CONNECTS, DURATIONS, Histogram
from gobetween_py.metrics.lag import Lag
from tests.gobetween_py.running import API, METRICS, Echo, Running, exchange, server


def test_a_value_counts_for_every_bound_that_it_does_not_exceed() -> None:
    """`le` is "less or equal" (Prometheus' exposition format)."""
    histogram = Histogram((1, 10, 100))
    for value in (0, 1, 1.5, 10, 99, 100, 101, 1e9):
        histogram.add(value)
    assert [*histogram.buckets()] == [("1.0", 2), ("10.0", 4), ("100.0", 6), ("+Inf", 8)]
    assert histogram.sum == sum((0, 1, 1.5, 10, 99, 100, 101, 1e9))


@pytest.mark.parametrize("bounds", [BYTES, CONNECTS, DURATIONS])
def test_bounds_rise(bounds: tuple[float, ...]) -> None:
    assert [*bounds] == sorted(set(bounds))


async def test_a_connection_is_counted_with_its_times_bytes_and_reason() -> None:
    async with Echo() as backend, Running(METRICS + server("web", backend.line)) as running:
        counted = running.web.counted
        reader, writer = await running.connect()
        await exchange(reader, writer, b"x" * 1000)
        assert counted.duration.sum == 0.0
        writer.close()
        await running.until(lambda: counted.reasons["client"] == 1)
        assert 0 < counted.connect.sum < counted.duration.sum < 10
        assert (counted.tx.sum, counted.rx.sum) == (1000, 1000)
        assert dict(counted.tx.buckets())["256.0"] == 0
        assert dict(counted.tx.buckets())["1024.0"] == 1
        assert counted.retries == 0


async def test_a_retry_is_counted_and_a_client_without_backend_has_no_bytes() -> None:
    config = METRICS + server("web", "127.0.0.1:1", "127.0.0.1:2", extra="connect_attempts = 2")
    async with Running(config) as running:
        counted = running.web.counted
        reader, writer = await running.connect()
        with contextlib.suppress(ConnectionError):
            assert await reader.read() == b""
        await running.until(lambda: counted.reasons["connect_failed"] == 1)
        assert counted.retries == 1
        assert sum(counted.connect.counts) == sum(counted.rx.counts) == 0
        assert sum(counted.duration.counts) == 1
        writer.close()


async def test_nothing_is_counted_while_nobody_asks_for_metrics() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running:
        assert running.web.listener.on_end == ()
        running.web.count_ends(True)
        running.web.count_ends(True)
        assert running.web.listener.on_end == (running.web.counted,)
        running.web.count_ends(False)
        assert running.web.listener.on_end == ()


async def test_lag_is_seen() -> None:
    import time

    lag = Lag(asyncio.get_running_loop())
    await asyncio.sleep(0.15)
    time.sleep(0.25)  # holds the loop up
    await asyncio.sleep(0.15)
    lag.close()
    buckets = dict(lag.seconds.buckets())
    assert buckets["+Inf"] - buckets["0.1"] == 1
    seen = buckets["+Inf"]
    await asyncio.sleep(0.2)
    assert dict(lag.seconds.buckets())["+Inf"] == seen


async def test_a_reload_that_switches_metrics_on_or_off_does_so_for_servers_that_go_on() -> None:
    servers = server("web", "127.0.0.1:1")
    async with Running(servers) as running:
        listener = running.web.listener
        assert listener.on_end == ()
        await running.app.apply(load(METRICS + servers))
        assert running.web.listener is listener
        assert listener.on_end == (running.web.counted,)
        assert (await running.call("GET", "/metrics", at="metrics")).status == 200
        await running.app.apply(load(servers))
        assert listener.on_end == ()
        assert "metrics" not in running.app.sites
