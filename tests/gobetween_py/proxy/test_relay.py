import asyncio
import hashlib
import random
import socket
import struct

import pytest

from balancer import RX, TX
from tests.gobetween_py.proxy.rig import Rig

MEGABYTES = random.Random(1).randbytes(12_000_000)


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


async def test_messages_go_both_ways_and_are_counted():
    async with Rig() as rig:
        client, backend = await rig.pair()
        await rig.send(client, b"ping")
        assert await rig.receive(backend) == b"ping"
        await rig.send(backend, b"longer pong")
        assert await rig.receive(client) == b"longer pong"
        row = rig.pool.backends[0].row
        assert rig.counters.values[row + TX] == 4
        assert rig.counters.values[row + RX] == 11
        client.close()
        assert await rig.receive(backend) == b""
        backend.close()


async def test_a_backend_that_speaks_first_is_heard():
    async with Rig() as rig:
        client, backend = await rig.pair()
        await rig.send(backend, b"220 ready")
        assert await rig.receive(client) == b"220 ready"
        backend.close()
        assert await rig.receive(client) == b""
        client.close()


@pytest.mark.parametrize("first", ["client", "backend"])
async def test_the_answer_to_a_half_close_arrives(first: str):
    """One side ends its direction; the other direction stays open until it ends too."""
    async with Rig() as rig:
        client, backend = await rig.pair()
        one, other = (client, backend) if first == "client" else (backend, client)
        await rig.send(one, b"all I had")
        one.shutdown(socket.SHUT_WR)
        assert await rig.receive_all(other) == b"all I had"
        await rig.send(other, b"and here is the answer")
        await asyncio.sleep(0.02)
        await rig.send(other, b", in two parts")
        other.close()
        assert await rig.receive_all(one) == b"and here is the answer, in two parts"
        one.close()


@pytest.mark.parametrize("first", ["client", "backend"])
async def test_a_reset_is_passed_on_as_a_reset(first: str):
    """A torn stream must not look like a whole one."""
    async with Rig() as rig:
        client, backend = await rig.pair()
        await rig.send(client, b"x")
        assert await rig.receive(backend) == b"x"
        one, other = (client, backend) if first == "client" else (backend, client)
        reset(one)
        with pytest.raises(ConnectionResetError):
            await rig.receive(other)
        other.close()


@pytest.mark.parametrize("first", ["client", "backend"])
async def test_what_was_said_before_a_reset_arrives(first: str):
    """As the answer of a server does that refuses a request without reading all of it: close() sends RST then."""
    async with Rig() as rig:
        client, backend = await rig.pair()
        await rig.send(client, b"x")
        assert await rig.receive(backend) == b"x"
        one, other = (client, backend) if first == "client" else (backend, client)
        # While we hold the event loop nothing is relayed, so that both have come when it is.
        one.send(b"413 Content Too Large")
        reset(one)
        assert await rig.receive(other) == b"413 Content Too Large"
        with pytest.raises(ConnectionResetError):
            await rig.receive(other)
        other.close()


async def test_a_reset_reaches_the_other_side_while_that_is_not_reading():
    async with Rig() as rig:
        client, backend = await rig.pair()
        backend.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 16)
        sending = asyncio.create_task(rig.send(backend, MEGABYTES))
        await asyncio.sleep(0.1)  # all buffers are full, the half towards the client is stalled
        sending.cancel()
        reset(backend)
        await rig.until(lambda: not rig.listener.connections)
        with pytest.raises(ConnectionResetError):
            await rig.receive_all(client)
        client.close()


@pytest.mark.parametrize("direction", ["up", "down", "both"])
async def test_bulk_arrives_unchanged(direction: str):
    async with Rig() as rig:
        client, backend = await rig.pair()
        routes = {
            "up": [(client, backend)],
            "down": [(backend, client)],
            "both": [(client, backend), (backend, client)],
        }

        async def pour(source: socket.socket) -> None:
            await rig.send(source, MEGABYTES)
            source.shutdown(socket.SHUT_WR)

        async with asyncio.TaskGroup() as tasks:
            received = []
            for source, sink in routes[direction]:
                tasks.create_task(pour(source))
                received.append(tasks.create_task(rig.receive_all(sink)))
        for task in received:
            assert hashlib.sha256(task.result()).digest() == hashlib.sha256(MEGABYTES).digest()
        assert rig.reactor.pipes.open > 0  # it was spliced
        client.close()
        backend.close()


async def test_a_slow_reader_gets_everything():
    """The sink is full again and again, with bytes held back in the half or in its pipe."""
    data = MEGABYTES[:3_000_000]
    async with Rig() as rig:
        client, backend = await rig.pair()
        sending = asyncio.create_task(rig.send(backend, data))
        received = bytearray()
        while len(received) < len(data):
            received += await rig.receive(client, random.choice([1, 1_000, 200_000]))
            if random.random() < 0.1:
                await asyncio.sleep(0.002)
        await sending
        assert received == data
        client.close()
        backend.close()


async def test_without_a_pipe_to_be_had_bulk_is_copied(monkeypatch: pytest.MonkeyPatch):
    async with Rig() as rig:
        monkeypatch.setattr(rig.reactor.pipes, "take", lambda: None)
        client, backend = await rig.pair()

        async def pour() -> None:
            await rig.send(client, MEGABYTES)
            client.shutdown(socket.SHUT_WR)

        pouring = asyncio.create_task(pour())
        assert await rig.receive_all(backend) == MEGABYTES
        await pouring
        backend.close()
        assert await rig.receive(client) == b""
        client.close()


async def test_last_bytes_and_fin_in_one_event_are_both_seen():
    """The bytes and the FIN are there before the client is read for the first time."""
    async with Rig() as rig:
        client = await rig.connect()
        await rig.send(client, b"request")
        client.shutdown(socket.SHUT_WR)
        backend = await rig.accept()
        assert await rig.receive_all(backend) == b"request"
        await rig.send(backend, b"answer")
        backend.close()
        assert await rig.receive_all(client) == b"answer"
        client.close()


async def test_a_small_message_passes_between_the_pieces_of_bulk():
    """A ping-pong connection goes on while another pours without end."""
    async with Rig() as rig:
        heavy_client, heavy_backend = await rig.pair()
        light_client, light_backend = await rig.pair()

        async def pour() -> None:
            while True:
                await rig.send(heavy_backend, MEGABYTES[:1_000_000])

        async def swallow() -> None:
            while True:
                await rig.receive(heavy_client, 1 << 20)

        background = [asyncio.create_task(pour()), asyncio.create_task(swallow())]
        for _ in range(50):
            await rig.send(light_client, b"ping")
            assert await rig.receive(light_backend) == b"ping"
            await rig.send(light_backend, b"pong")
            assert await rig.receive(light_client) == b"pong"
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        for sock in (heavy_client, heavy_backend, light_client, light_backend):
            sock.close()
