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
        again = first.dup()
        rig.listener.hand_over(first)
        rig.listener.move(again)
        await asyncio.sleep(0.2 + HANDSHAKE + 0.2)
        assert await served(rig, await connect(rig, address))


async def test_clients_that_wait_are_handed_over_with_the_socket():
    async with Rig() as rig, Rig(backends=0) as other:
        (sock,) = other.listener._entrances
        client = socket.socket()
        client.connect(other.address)
        client.setblocking(False)
        given = sock.dup()
        other.listener.hand_over(sock)
        rig.listener.move(given)
        assert await served(rig, client)


async def test_a_barred_socket_can_be_handed_over():
    async with Rig() as rig, Rig(backends=0) as other:
        ((sock, acceptor),) = other.listener._entrances.items()
        acceptor.bar()
        given = sock.dup()
        other.listener.hand_over(sock)
        rig.listener.move(given)
        assert await served(rig, await connect(rig, other.address))


async def test_who_comes_when_a_narrower_address_of_the_same_port_closes_gets_to_the_wider_one():
    """Until it closes all clients come to the narrower one; in the last moment none can begin a handshake there."""
    async with Rig() as rig:
        ((narrow, acceptor),) = rig.listener._entrances.items()
        wide = listen_on(Bind("", rig.address[1]), instead_of=[narrow])
        rig.listener.move(wide)
        acceptor.bar()
        late = asyncio.create_task(connect(rig, rig.address))
        await asyncio.sleep(0.2)
        assert not late.done()
        rig.listener._close(narrow, acceptor)
        assert await served(rig, await late)  # its kernel has tried again


async def test_a_unix_socket_hands_over_who_waits(tmp_path: Path):
    async with Rig() as rig:
        path = os.fspath(tmp_path / "socket")
        rig.listener.move(listen_unix(path))
        waiting = socket.socket(socket.AF_UNIX)
        waiting.connect(path)
        waiting.setblocking(False)
        rig.listener.stop_accepting()
        assert await served(rig, waiting)
