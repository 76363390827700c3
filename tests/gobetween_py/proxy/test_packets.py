"""Packets that are saved, and none that is late for it: as the kernel counts them for the peers' sockets."""

import fcntl
import socket
import struct
import sys
import termios

import pytest

from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.staged import Stages
from tests.gobetween_py.proxy.rig import Rig
from tests.gobetween_py.proxy.test_staged import LOOPBACK

SEGMENTS_IN = 140  # of struct tcp_info (linux/tcp.h)


def segments_in(sock: socket.socket) -> int:
    """Segments that came in, SYN and ACK of the handshake among them."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int(struct.unpack_from("I", info, SEGMENTS_IN)[0])


def unacknowledged(sock: socket.socket) -> int:
    """Bytes sent of which the other side's kernel has not said that they came (SIOCOUTQ, tcp(7))."""
    return int.from_bytes(fcntl.ioctl(sock, termios.TIOCOUTQ, bytes(4)), sys.byteorder)


async def test_the_first_bytes_end_the_handshake_with_the_backend():
    async with Rig(backends=1, dead=1) as rig:
        client = await rig.connect()
        await rig.send(client, b"the client's bytes are there before the backend has answered")
        backend = await rig.accept()
        assert await rig.receive(backend)
        assert segments_in(backend) == 2
        client.close()
        backend.close()


@pytest.mark.parametrize(
    ("stages", "sent"), [(None, b""), (Stages(trusted=LOOPBACK), b"PROXY UNKNOWN\r\n")], ids=["plain", "PROXY header"]
)
async def test_a_silent_client_does_not_hold_up_the_backends_accept(stages: Stages | None, sent: bytes):
    """Left to itself the kernel would send the ACK 200 ms later."""
    async with Rig(settings=Settings(stages=stages)) as rig:
        client = await rig.connect()
        await rig.send(client, sent)
        await rig.until(lambda: any(one.up for one in rig.listener.connections))
        (connection,) = rig.listener.connections
        await rig.until(lambda: rig.reactor.handlers[connection.client_fd] == connection.up.ready)
        backend, _ = rig.backends[0].accept()
        client.close()
        backend.close()


async def test_a_backend_with_nagles_algorithm_is_not_kept_waiting():
    """Of an answer in two pieces it would send the second only when the first is acknowledged."""
    async with Rig() as rig:
        client = await rig.connect()
        await rig.send(client, b"question")
        backend = await rig.accept()
        assert await rig.receive(backend)
        backend.send(b"the first piece")
        assert await rig.receive(client)
        assert unacknowledged(backend) == 0
        client.close()
        backend.close()


async def test_the_end_goes_with_the_last_bytes():
    async with Rig() as rig:
        client, backend = await rig.pair()
        before = segments_in(client)
        # While we hold the event loop nothing is relayed, so that both have come when it is.
        backend.send(b"all there is")
        backend.shutdown(socket.SHUT_WR)
        assert await rig.receive_all(client) == b"all there is"
        assert segments_in(client) == before + 1
        client.close()
        backend.close()
