"""Open connections: listed by pages, found by backend and by client, closed."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from tests.gobetween_py.running import API, Echo, Running, exchange, is_cut, server

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def open_some(running: Running, stack: AsyncExitStack, count: int) -> list[Streams]:
    """Connections that have their backend."""
    opened = []
    for _ in range(count):
        streams = await running.connect()
        stack.callback(streams[1].close)
        await exchange(*streams)
        opened.append(streams)
    return opened


def address_of(client: asyncio.StreamWriter) -> str:
    host, port = client.get_extra_info("sockname")
    return f"{host}:{port}"


async def test_a_connection_is_described() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running, AsyncExitStack() as stack:
        [(_, writer)] = await open_some(running, stack, 1)
        page = await running.get("/servers/web/connections")
        [connection] = page.pop("connections")
        assert page == {"total": 1, "next": None}
        assert connection.pop("age") >= 0
        assert connection.pop("idle") >= 0
        assert connection.pop("id")
        assert connection == {
            "client": address_of(writer),
            "backend": backend.line,
            "state": "relaying",
            "rx": 5,
            "tx": 5,
            "attempts": 1,
        }


async def test_pages_show_each_connection_once_the_oldest_first() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running, AsyncExitStack() as stack:
        opened = await open_some(running, stack, 25)
        seen, after, pages = [], "", 0
        while after is not None:
            page = await running.get(f"/servers/web/connections?limit=10&after={after}")
            assert page["total"] == 25
            seen += [connection["client"] for connection in page["connections"]]
            after, pages = page["next"], pages + 1
        assert pages == 3
        assert seen == [address_of(writer) for _, writer in opened]


async def test_connections_that_end_between_two_pages_spoil_neither() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running, AsyncExitStack() as stack:
        opened = await open_some(running, stack, 9)
        first = await running.get("/servers/web/connections?limit=3")
        for index in (1, 2, 3, 4):  # the last one of the page too
            opened[index][1].close()
        await running.until(lambda: running.web.open_connections == 5)
        rest = await running.get(f"/servers/web/connections?after={first['next']}")
        assert rest["total"] == 5
        assert [c["client"].rpartition(":")[2] for c in rest["connections"]] == [
            str(writer.get_extra_info("sockname")[1]) for _, writer in opened[5:]
        ]


async def test_they_are_found_by_backend_and_by_client() -> None:
    config = API + server("web", extra='balance = "roundrobin"')
    async with Echo() as one, Echo() as other, Running(config) as running, AsyncExitStack() as stack:
        for backend in (one, other):
            await running.call("POST", "/servers/web/backends", {"host": "127.0.0.1", "port": backend.port})
        await open_some(running, stack, 6)
        for query, count in {
            f"backend={one.line}": 3,
            "backend=127.0.0.1:1": 0,
            "client=127.0.0.1": 6,
            "client=127.0.0.0/8": 6,
            "client=::ffff:127.0.0.1": 6,
            "client=127.0.0.2": 0,
            f"client=127.0.0.1&backend={other.line}": 3,
        }.items():
            assert len((await running.get(f"/servers/web/connections?{query}"))["connections"]) == count, query


async def test_those_of_a_backend_are_closed_and_no_others() -> None:
    config = API + server("web", extra='balance = "roundrobin"')
    async with Echo() as one, Echo() as other, Running(config) as running, AsyncExitStack() as stack:
        for backend in (one, other):
            await running.call("POST", "/servers/web/backends", {"host": "127.0.0.1", "port": backend.port})
        opened = await open_some(running, stack, 4)
        reply = await running.call("DELETE", f"/servers/web/connections?backend={one.line}")
        assert (reply.status, reply.body) == (200, {"closed": 2})
        left = (await running.get("/servers/web/connections"))["connections"]
        assert [connection["backend"] for connection in left] == [other.line] * 2
        clients = {connection["client"] for connection in left}
        for reader, writer in opened:
            if address_of(writer) in clients:
                await exchange(reader, writer)
            else:
                assert await is_cut(reader)


async def test_a_single_one_is_closed() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running, AsyncExitStack() as stack:
        first, second = await open_some(running, stack, 2)
        [connection, _] = (await running.get("/servers/web/connections"))["connections"]
        path = f"/servers/web/connections/{connection['id']}"
        assert (await running.call("DELETE", path)).status == 200
        assert await is_cut(first[0])
        await exchange(*second)
        again = await running.call("DELETE", path)
        assert (again.status, again.body["error"]) == (
            404,
            f"server 'web' has no open connection '{connection['id']}'",
        )


async def test_all_are_closed() -> None:
    async with Echo() as backend, Running(API + server("web", backend.line)) as running, AsyncExitStack() as stack:
        opened = await open_some(running, stack, 3)
        assert (await running.call("DELETE", "/servers/web/connections")).body == {"closed": 3}
        for reader, _ in opened:
            assert await is_cut(reader)


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=1001",
        "limit=many",
        "after=5",
        "after=1-x",
        "backend=nowhere",
        "client=me",
        "client=10.0.0.0/99",
        "bakend=a:1",
        "limit=1&limit=2",
    ],
)
async def test_a_wrong_query_is_400_and_closes_nothing(query: str) -> None:
    """A misspelt filter must not mean all."""
    async with Echo() as backend, Running(API + server("web", backend.line)) as running, AsyncExitStack() as stack:
        [streams] = await open_some(running, stack, 1)
        for method in ("GET", "DELETE"):
            assert (await running.call(method, f"/servers/web/connections?{query}")).status == 400
        await exchange(*streams)
