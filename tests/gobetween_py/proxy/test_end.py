"""What is told of a connection at its end: who ended it, and what it was until then."""

import asyncio
import select
import socket
import struct
import time
from ipaddress import ip_network

import pytest

from balancer import REFUSED
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.connection import Connection
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from tests.gobetween_py.proxy.rig import Rig

LINGER_NONE = struct.pack("ii", 1, 0)


class Told:
    """Notes what a listener tells, while it can still be asked."""

    def __init__(self, rig: Rig) -> None:
        self.reasons: list[Reason] = []
        self.bytes: list[tuple[int, int]] = []
        self.attempts: list[int] = []
        self.times: list[tuple[float, float]] = []
        self.clients: list[tuple[str, int]] = []
        self.refused: list[tuple[str, int, Reason]] = []
        rig.listener.on_end = (self.ended,)
        rig.listener.on_refusal = (lambda *told: self.refused.append(told),)

    def ended(self, connection: Connection, reason: Reason) -> None:
        self.reasons.append(reason)
        self.bytes.append((connection.sent, connection.received))
        self.attempts.append(connection.attempts)
        self.times.append((connection.begun, connection.answered))
        self.clients.append((connection.host, connection.port))


async def test_the_client_ended_it_when_its_end_came_first():
    async with Rig() as rig:
        told = Told(rig)
        client, backend = await rig.pair()
        await rig.send(client, b"a question")
        client.shutdown(socket.SHUT_WR)
        assert await rig.receive_all(backend) == b"a question"
        await rig.send(backend, b"the answer after the client's end")
        backend.close()
        assert await rig.receive_all(client) == b"the answer after the client's end"
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CLIENT]
        assert told.bytes == [(10, 33)]


async def test_the_backend_ended_it_when_its_end_came_first():
    async with Rig() as rig:
        told = Told(rig)
        client, backend = await rig.pair()
        await rig.send(backend, b"goodbye")
        backend.close()
        assert await rig.receive_all(client) == b"goodbye"
        client.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.BACKEND]
        assert told.bytes == [(0, 7)]


@pytest.mark.parametrize("who", ["client", "backend"])
async def test_a_reset_is_told_with_the_side_it_came_from(who: str):
    async with Rig() as rig:
        told = Told(rig)
        client, backend = await rig.pair()
        await rig.send(client, b"x")
        await rig.receive(backend)
        one, other = (client, backend) if who == "client" else (backend, client)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        one.close()
        with pytest.raises(ConnectionResetError):
            await rig.receive(other)
        other.close()
        assert told.reasons == [Reason(f"{who}_reset")]


async def test_a_side_that_closes_without_having_read_everything_has_reset_it():
    """Its kernel sends RST then (RFC 2525, section 2.17)."""
    async with Rig() as rig:
        told = Told(rig)
        client, backend = await rig.pair()
        await rig.send(client, b"never read")
        await rig.until(lambda: select.select([backend], [], [], 0)[0])
        backend.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.BACKEND_RESET]
        client.close()


async def test_spliced_bytes_are_counted_too():
    size = 8 << 20
    async with Rig() as rig:
        told = Told(rig)
        client, backend = await rig.pair()
        sending = asyncio.create_task(rig.send(backend, bytes(size)))
        received = 0
        while received < size:
            received += len(await rig.receive(client, 1 << 18))
        await sending
        client.close()
        backend.close()
        await rig.until(lambda: told.reasons)
        assert told.bytes == [(0, size)]


async def test_an_open_connection_tells_its_bytes_so_far():
    async with Rig() as rig:
        client, backend = await rig.pair()
        await rig.send(client, b"12345")
        await rig.receive(backend)
        await rig.send(backend, b"123")
        await rig.receive(client)
        (connection,) = rig.listener.connections
        assert (connection.sent, connection.received) == (5, 3)
        client.close()
        backend.close()


async def test_backends_that_did_not_answer_are_attempts_and_part_of_the_connect_time():
    async with Rig(backends=1, dead=2, settings=Settings(connect_attempts=3)) as rig:
        told = Told(rig)
        for _ in range(3):
            before = time.monotonic()
            client, backend = await rig.pair()
            client.close()
            backend.close()
            await rig.until(lambda: not rig.listener.connections)
            begun, answered = told.times[-1]
            assert before <= begun <= answered <= time.monotonic()
        refused = sum(rig.counters.values[b.row + REFUSED] for b in rig.pool.backends)
        assert refused > 0
        assert sum(told.attempts) == 3 + refused


async def test_a_client_without_a_backend_is_told_with_what_was_tried():
    async with Rig(backends=0, dead=2) as rig:
        told = Told(rig)
        client = await rig.connect()
        assert await rig.receive(client) == b""
        assert told.reasons == [Reason.CONNECT]
        assert told.attempts == [2]
        assert told.times[0][1] == 0.0
        assert told.bytes == [(0, 0)]
        assert told.clients == [client.getsockname()]
        client.close()


async def test_clients_turned_away_at_the_door_are_told_with_their_address():
    access = Access([(False, ip_network("127.0.0.1"))])
    async with Rig(access=access) as rig:
        told = Told(rig)
        client = await rig.connect()
        assert await rig.receive(client) == b""
        assert told.refused == [(*client.getsockname(), Reason.ACCESS)]
        assert told.reasons == []
        client.close()


async def test_clients_above_the_limit_are_told_as_such():
    async with Rig(settings=Settings(max_connections=1)) as rig:
        told = Told(rig)
        client, backend = await rig.pair()
        surplus = await rig.connect()
        assert await rig.receive(surplus) == b""
        assert told.refused == [(*surplus.getsockname(), Reason.LIMIT)]
        for sock in (client, backend, surplus):
            sock.close()


async def test_nothing_is_kept_alive_by_what_was_told():
    """The two halves know each other until the end was told; then counting references frees them."""
    async with Rig() as rig:
        told: list[Connection] = []
        rig.listener.on_end = (lambda connection, reason: told.append(connection),)
        client, backend = await rig.pair()
        client.close()
        backend.close()
        await rig.until(lambda: told)
        await asyncio.sleep(0)
        assert told[0].up is None
