"""gobetween's JSON of what is counted."""

from tests.gobetween_py.running import API, Echo, Running, exchange, server

COUNTS = {
    "live": bool,
    "discovered": bool,
    "total_connections": int,
    "active_connections": int,
    "refused_connections": int,
    "rx": int,
    "tx": int,
    "rx_second": int,
    "tx_second": int,
}


async def test_the_shape_is_gobetweens() -> None:
    lines = ["127.0.0.1:1", "127.0.0.1:2 weight=3 priority=2 max_connections=4 sni=a.b proxy_protocol=2"]
    async with Running(API + server("web", *lines)) as running:
        stats = await running.get("/servers/web/stats")
    plain, full = stats.pop("backends")
    assert stats == {"active_connections": 0, "rx_total": 0, "tx_total": 0, "rx_second": 0, "tx_second": 0}
    assert {key: type(value) for key, value in plain.pop("stats").items()} == COUNTS
    assert plain == {"host": "127.0.0.1", "port": "1", "priority": 1, "weight": 1}
    full.pop("stats")
    numbers = {"priority": 2, "weight": 3, "max_connections": 4}
    assert full == {"host": "127.0.0.1", "port": "2", **numbers, "sni": "a.b", "proxy_protocol": "2"}


async def test_rx_is_from_the_backend_and_tx_to_it() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line, "127.0.0.1:1")) as running:
        running.web.pool.set_held(running.web.pool.backends[0], True)
        reader, writer = await running.connect()
        await exchange(reader, writer, b"x" * 100)
        stats = await running.get("/servers/web/stats")
        [counts] = [one["stats"] for one in stats["backends"] if one["port"] == str(backend.port)]
        assert (counts["rx"], counts["tx"], counts["active_connections"], counts["total_connections"]) == (
            100,
            100,
            1,
            1,
        )
        assert (stats["active_connections"], stats["rx_total"], stats["tx_total"]) == (1, 100, 100)
        await running.until(lambda: running.web.pool.find("127.0.0.1", backend.port).rx_second)
        assert (await running.get("/servers/web/stats"))["rx_second"] > 0
        writer.close()


async def test_totals_keep_what_gone_backends_moved() -> None:
    async with Echo() as backend, Running(API + server("web")) as running:
        for round_ in (1, 2):
            await running.call("POST", "/servers/web/backends", {"host": "127.0.0.1", "port": backend.port})
            reader, writer = await running.connect()
            await exchange(reader, writer, b"x" * 10)
            await running.call("DELETE", f"/servers/web/backends/{backend.line}?deadline=0")
            writer.close()
            stats = await running.get("/servers/web/stats")
            assert stats["backends"] == []
            assert (stats["rx_total"], stats["tx_total"]) == (10 * round_, 10 * round_)
