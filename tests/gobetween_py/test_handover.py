"""Binds that go from one server to another while clients use them."""

import asyncio
import socket

import pytest

from gobetween_py.bind import BindError
from gobetween_py.config import load
from gobetween_py.proxy.reason import Reason
from tests.gobetween_py.running import PATIENCE, Echo, Running, exchange, server
from tests.services.ports import free_port

GRACE = 0.3


@pytest.fixture(autouse=True)
def short_grace(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("listener", "udp.listener"):
        monkeypatch.setattr(f"gobetween_py.proxy.{module}.GRACE", GRACE)


def text(name: str, bind: str, backend: str, extra: str = "") -> str:
    """A server's part of a config."""
    return server(name, backend, extra=extra).replace("127.0.0.1:0", bind).replace('timeout = "0"', 'timeout = "1m"', 1)


class UdpEcho(asyncio.DatagramProtocol):
    """A backend that sends back what it gets."""

    transport: asyncio.DatagramTransport

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self.transport = transport

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.transport.sendto(data, addr)  # type: ignore[arg-type]


class UdpClient:
    """A client of a UDP server on loopback."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.connect(("127.0.0.1", port))

    async def asks(self) -> None:
        """Have an answer."""
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(PATIENCE):
            await loop.sock_sendall(self.socket, b"question")
            assert await loop.sock_recv(self.socket, 100) == b"question"


@pytest.mark.parametrize("wide", ["", "0.0.0.0"])
async def test_another_server_with_a_wider_address_serves_who_is_on_the_way_to_the_narrower_one(wide: str):
    port = free_port()
    async with Echo() as backend, Running(text("old", f"127.0.0.1:{port}", backend.line)) as running:
        open_before = await running.connect("old")
        await exchange(*open_before)
        await running.app.apply(load(text("new", f"{wide}:{port}", backend.line)))
        new = running.app.servers["new"]
        assert len(new.sockets) == 2
        on_the_way = await running.connect("new")
        await exchange(*on_the_way)
        await running.until(lambda: len(new.sockets) == 1)
        later = await running.connect("new")
        await exchange(*later)
        assert new.open_connections == 2
        await exchange(*open_before)
        for _, writer in (open_before, on_the_way, later):
            writer.close()


async def test_another_server_with_a_narrower_address_gets_no_clients_of_the_others():
    """Its config says that it listens on loopback only."""
    port = free_port()
    async with Echo() as backend, Running(text("old", f":{port}", backend.line)) as running:
        await running.app.apply(load(text("new", f"127.0.0.1:{port}", backend.line)))
        assert [*map(str, running.app.servers["new"].sockets)] == [f"127.0.0.1:{port}"]
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.2", port)


async def test_a_server_that_moves_leaves_its_address_to_one_that_includes_it():
    port, other = free_port(), free_port()
    async with Echo() as backend, Running(text("old", f"127.0.0.1:{port}", backend.line)) as running:
        both = text("old", f"127.0.0.1:{other}", backend.line) + text("new", f":{port}", backend.line)
        await running.app.apply(load(both))
        for name in ("old", "new"):
            reader, writer = await running.connect(name)
            await exchange(reader, writer)
            assert running.app.servers[name].open_connections == 1
            writer.close()


async def test_newcomers_are_heard_by_the_udp_server_with_the_wider_address():
    """The sessions of the one before still hold the narrower socket, to which the kernel gives them."""
    loop, port, extra = asyncio.get_running_loop(), free_port(), 'protocol = "udp"\nclient_idle_timeout = "1m"'
    transport, _ = await loop.create_datagram_endpoint(UdpEcho, ("127.0.0.1", 0))
    backend = f"127.0.0.1:{transport.get_extra_info('sockname')[1]}"
    async with Running(text("old", f"127.0.0.1:{port}", backend, extra)) as running:
        known, stranger = UdpClient(port), UdpClient(port)
        await known.asks()
        old = running.app.servers["old"]
        await running.app.apply(load(text("new", f":{port}", backend, extra)))
        assert old.open_connections == 1
        await stranger.asks()
        await known.asks()
        assert running.app.servers["new"].open_connections == 2
        for client in (known, stranger):
            client.socket.close()
        for each in (old, running.app.servers["new"]):
            await each.close_connections(lambda session: True, Reason.SHUTDOWN)
    transport.close()


async def test_what_was_found_is_given_back_where_a_change_fails():
    """The old server goes on with its socket, and the new ones' are closed."""
    port, free = free_port(), free_port()
    with socket.create_server(("127.0.0.1", 0)) as taken:
        in_use = taken.getsockname()[1]
        async with Echo() as backend, Running(text("old", f"127.0.0.1:{port}", backend.line)) as running:
            wanted = text("new", f":{port}", backend.line) + text("more", f"127.0.0.1:{free}", backend.line)
            with pytest.raises(BindError, match=r"servers.bad.bind: .*the port is in use"):
                await running.app.apply(load(wanted + text("bad", f"127.0.0.1:{in_use}", backend.line)))
            reader, writer = await running.connect("old")
            await exchange(reader, writer)
            writer.close()
            for host, number in (("127.0.0.1", free), ("127.0.0.2", port)):
                socket.create_server((host, number)).close()
