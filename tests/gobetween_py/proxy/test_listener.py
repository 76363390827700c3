"""Where a listener accepts: moved, handed over, closed, with clients on their way."""

import asyncio
import os
import socket
from pathlib import Path

import pytest

from gobetween_py.bind import listen, listen_on, listen_unix
from gobetween_py.config import Bind
from gobetween_py.proxy.listener import HANDSHAKE
from tests.gobetween_py.proxy.rig import Rig


async def connect(rig: Rig, address: object) -> socket.socket:
    client = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
    client.setblocking(False)
    async with asyncio.timeout(5):
        await rig.loop.sock_connect(client, address)
    return client


async def served(rig: Rig, client: socket.socket) -> bool:
    """Whether a client has got a backend."""
    backend = await rig.accept()
    await rig.send(backend, b"hello")
    got = await rig.receive(client)
    backend.close()
    client.close()
    return got == b"hello"


async def refused(rig: Rig, address: object) -> bool:
    try:
        (await connect(rig, address)).close()
    except ConnectionRefusedError:
        return True
    return False


async def test_who_has_connected_when_accepting_stops_is_served():
    """The clients were in the backlog: as far as they know they are connected."""
    async with Rig() as rig:
        clients = []
        for _ in range(100):
            client = socket.socket()
            client.connect(rig.address)  # the loop gets no turn in between
            clients.append(client)
        rig.listener.stop_accepting()
        assert await refused(rig, rig.address)
        for client in clients:
            client.setblocking(False)
            assert await served(rig, client)


async def test_the_address_before_goes_on_for_a_moment(monkeypatch: pytest.MonkeyPatch):
    async with Rig() as rig:
        client, backend = await rig.pair()
        fresh = listen("127.0.0.1", 0)
        before, now = rig.address, fresh.getsockname()
        monkeypatch.setattr("gobetween_py.proxy.listener.GRACE", 0.3)
        rig.listener.move(fresh)
        assert await served(rig, await connect(rig, before))
        assert await served(rig, await connect(rig, now))
        await asyncio.sleep(0.3 + HANDSHAKE + 0.2)
        assert await refused(rig, before)
        assert await served(rig, await connect(rig, now))
        await rig.send(client, b"still here")
        assert await rig.receive(backend) == b"still here"
        client.close()
        backend.close()


async def test_back_at_an_address_within_that_moment_it_stays_open(monkeypatch: pytest.MonkeyPatch):
    async with Rig() as rig:
        monkeypatch.setattr("gobetween_py.proxy.listener.GRACE", 0.2)
        (first,) = rig.listener._entrances
        address = first.getsockname()
        rig.listener.move(listen("127.0.0.1", 0))
        rig.listener.hand_over(first)
        rig.listener.move(first)
        await asyncio.sleep(0.2 + HANDSHAKE + 0.2)
        assert await served(rig, await connect(rig, address))


async def test_clients_that_wait_are_handed_over_with_the_socket():
    async with Rig() as rig, Rig(backends=0) as other:
        (sock,) = other.listener._entrances
        client = socket.socket()
        client.connect(other.address)
        client.setblocking(False)
        other.listener.hand_over(sock)
        rig.listener.move(sock)
        assert await served(rig, client)


async def test_a_barred_socket_can_be_handed_over():
    async with Rig() as rig, Rig(backends=0) as other:
        ((sock, acceptor),) = other.listener._entrances.items()
        acceptor.bar()
        other.listener.hand_over(sock)
        rig.listener.move(sock)
        assert await served(rig, await connect(rig, other.address))


async def test_no_client_is_reset_when_a_narrower_address_of_the_same_port_closes(monkeypatch: pytest.MonkeyPatch):
    """Until then all clients of it come to the old socket; one that comes in the last moment gets to the new one."""
    async with Rig(backends=0) as rig:
        monkeypatch.setattr("gobetween_py.proxy.listener.GRACE", 0.1)
        (narrow,) = rig.listener._entrances
        over = False

        async def knock() -> int:
            """Connects again and again; without a backend the end comes at once, and in order."""
            count = 0
            while not over:
                client = await connect(rig, rig.address)
                assert await rig.receive(client) == b""
                client.close()
                count += 1
            return count

        knocking = [asyncio.create_task(knock()) for _ in range(4)]
        for _ in range(4):
            wide = listen_on(Bind("", rig.address[1]), instead_of=[narrow])
            rig.listener.move(wide)
            await asyncio.sleep(0.1 + HANDSHAKE + 0.1)
            assert narrow.fileno() < 0
            narrow = listen_on(Bind("127.0.0.1", rig.address[1]), instead_of=[wide])
            rig.listener.move(narrow)
            await asyncio.sleep(0.1 + HANDSHAKE + 0.1)
        over = True
        counts = await asyncio.gather(*knocking)
        assert sum(counts) > 100


async def test_a_unix_socket_hands_over_who_waits(tmp_path: Path):
    async with Rig() as rig:
        path = os.fspath(tmp_path / "socket")
        rig.listener.move(listen_unix(path))
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(path)
        waiting.setblocking(False)
        rig.listener.stop_accepting()
        assert await served(rig, waiting)
