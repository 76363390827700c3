"""PROXY headers in and out, and ClientHellos: who the client is, what it wants, and that no byte is lost on the way."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_network

import pytest

from balancer import TX, BackendSpec
from balancer.sni import ServerNames
from gobetween_py.proxy import proxy_protocol as pp
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.proxy_protocol import Header, build_v1, build_v2
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.relay import BUFFER
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.sockets import CSocket
from gobetween_py.proxy.staged import StagedConnection, Stages
from tests.gobetween_py.proxy import hellos
from tests.gobetween_py.proxy.rig import Rig
from tests.gobetween_py.proxy.test_end import LINGER_NONE, Told

LOOPBACK = Access([(True, ip_network("127.0.0.0/8"))], default=False)
CARRIED = Header(socket.AF_INET, ("192.0.2.7", 4711), ("198.51.100.1", 443))


def sending(version: str, *tlvs: str) -> Settings:
    return Settings(stages=Stages(version=version, tlvs=frozenset(tlvs)))


def receiving(timeout: float = 5.0, *, version: str = "", **settings: float) -> Settings:
    return Settings(stages=Stages(trusted=LOOPBACK, header_timeout=timeout, version=version), **settings)


async def header_at(rig: Rig, backend: socket.socket) -> tuple[Header, bytes]:
    """The header that a backend gets first, and what came along with it."""
    data = b""
    while True:
        parsed = pp.parse(data)
        if parsed is not None:
            return parsed[0], data[parsed[1] :]
        part = await rig.receive(backend)
        assert part, data
        data += part


async def closed(rig: Rig, sock: socket.socket) -> bool:
    with contextlib.suppress(ConnectionResetError):
        return await rig.receive(sock) == b""
    return True


# out


@pytest.mark.parametrize("version", ["1", "2"])
async def test_the_backend_is_told_the_clients_address_before_its_bytes(version: str) -> None:
    async with Rig(settings=sending(version)) as rig:
        client = socket.create_connection(rig.address)
        client.sendall(b"said at once")
        client.setblocking(False)
        backend = await rig.accept()
        header, data = await header_at(rig, backend)
        assert header == Header(socket.AF_INET, client.getsockname(), rig.address)
        assert data == b"said at once"  # in one piece
        await rig.send(client, b"and more")
        assert await rig.receive(backend) == b"and more"
        client.close()
        backend.close()


async def test_a_client_that_waits_for_the_server_is_introduced_at_once() -> None:
    async with Rig(settings=sending("2")) as rig:
        client, backend = await rig.pair()
        header, data = await header_at(rig, backend)
        assert (header.source, data) == (client.getsockname(), b"")
        await rig.send(backend, b"220 ready")
        assert await rig.receive(client) == b"220 ready"
        client.close()
        backend.close()


async def test_every_byte_follows_the_header_in_order() -> None:
    """More than any buffer takes, sent before the backend reads, with the client's end at the end."""
    content = os.urandom(8 << 20)
    async with Rig(settings=sending("2", "crc32c")) as rig:
        client = await rig.connect()
        sending_ = asyncio.create_task(rig.send(client, content))
        backend = await rig.accept()
        await asyncio.sleep(0.2)
        header, data = await header_at(rig, backend)
        received = asyncio.create_task(rig.receive_all(backend))
        await sending_
        client.shutdown(socket.SHUT_WR)
        assert data + await received == content
        assert header.source == client.getsockname()
        backend.close()
        assert await rig.receive(client) == b""
        client.close()
        [known] = rig.pool.backends
        assert rig.counters.values[known.row + TX] == len(content) + 16 + 12 + 7


class Narrow(CSocket):
    """A socket with the smallest send buffer there is."""

    def __init__(self, *args: int) -> None:
        super().__init__(*args)
        self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


async def test_what_the_backend_does_not_take_at_once_follows_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Buffers and window are smaller than the header and the client's first bytes together."""
    monkeypatch.setattr(StagedConnection, "endpoint", Narrow)
    content = os.urandom(BUFFER)
    async with Rig(settings=sending("1")) as rig:
        rig.backends[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        client = socket.create_connection(rig.address)
        client.sendall(content)
        client.setblocking(False)
        await rig.until(lambda: any(c.up and c.up.rest for c in rig.listener.connections))
        backend = await rig.accept()
        header, data = await header_at(rig, backend)
        client.shutdown(socket.SHUT_WR)
        assert (header.source, data + await rig.receive_all(backend)) == (client.getsockname(), content)
        client.close()
        backend.close()


async def test_tlvs_are_told_when_asked_for() -> None:
    async with Rig(settings=sending("2", "unique_id", "crc32c", "authority", "alpn")) as rig:
        ids = set()
        for _ in range(3):
            client, backend = await rig.pair()
            header, _ = await header_at(rig, backend)
            [(kind, value)] = header.tlvs  # the checksum was right; there is no authority to be told
            assert kind == pp.UNIQUE_ID
            assert 1 <= len(value) <= 128
            ids.add(value)
            client.close()
            backend.close()
        assert len(ids) == 3


async def test_another_backend_gets_a_header_of_its_own() -> None:
    async with Rig(backends=1, dead=2, settings=sending("1")) as rig:
        for _ in range(3):
            client, backend = await rig.pair()
            header, data = await header_at(rig, backend)
            assert (header.source, data) == (client.getsockname(), b"")
            client.close()
            backend.close()


# in


@pytest.mark.parametrize("header", [build_v1(CARRIED), build_v2(CARRIED), build_v2(CARRIED, checksum=True)])
@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_the_client_is_who_the_header_says(header: bytes, step: int) -> None:
    """In any segmentation; the bytes after the header are the backend's."""
    async with Rig(settings=receiving()) as rig:
        told = Told(rig)
        client = await rig.connect()
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = header + b"hello"
        for at in range(0, len(stream), step):
            await rig.send(client, stream[at : at + step])
            await asyncio.sleep(0.002)
        backend = await rig.accept()
        data = b""
        while len(data) < 5:
            data += await rig.receive(backend)
        assert data == b"hello"
        await rig.send(backend, b"reply")
        assert await rig.receive(client) == b"reply"
        client.close()
        backend.close()
        await rig.until(lambda: told.clients)
        assert told.clients == [("192.0.2.7", 4711)]


@pytest.mark.parametrize("header", [b"PROXY UNKNOWN\r\n", build_v2(Header())])
async def test_unknown_and_local_leave_the_connections_own_address(header: bytes) -> None:
    async with Rig(settings=receiving()) as rig:
        told = Told(rig)
        client = await rig.connect()
        await rig.send(client, header)
        backend = await rig.accept()
        address = client.getsockname()
        client.close()
        backend.close()
        await rig.until(lambda: told.clients)
        assert told.clients == [address]


async def test_a_client_of_a_unix_socket_has_no_ip_address() -> None:
    async with Rig(settings=receiving()) as rig:
        told = Told(rig)
        client = await rig.connect()
        await rig.send(client, build_v2(Header(socket.AF_UNIX, ("/run/a", 0), ("/run/b", 0))))
        backend = await rig.accept()
        client.close()
        backend.close()
        await rig.until(lambda: told.clients)
        assert told.clients == [("", 0)]


@pytest.mark.parametrize(
    "wrong", [b"GET / HTTP/1.1\r\n\r\n", b"PROXY TCP4 1.2.3.4\r\n", pp.SIGNATURE + b"\x31\x11\0\0"]
)
async def test_a_malformed_header_closes_and_counts(wrong: bytes) -> None:
    async with Rig(settings=receiving()) as rig:
        client = await rig.connect()
        await rig.send(client, wrong)
        assert await closed(rig, client)
        client.close()
        assert +rig.listener.refusals == {Reason.BAD_HEADER.value: 1}


async def test_an_end_within_the_header_is_malformed() -> None:
    async with Rig(settings=receiving()) as rig:
        client = await rig.connect()
        await rig.send(client, b"PROXY TCP4 1.2")
        client.shutdown(socket.SHUT_WR)
        assert await closed(rig, client)
        client.close()
        assert +rig.listener.refusals == {Reason.BAD_HEADER.value: 1}


async def test_a_port_check_is_nobodys_fault() -> None:
    """Load balancers look whether a port is open by connecting and closing."""
    async with Rig(settings=receiving()) as rig:
        told = Told(rig)
        (await rig.connect()).close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CLIENT]
        assert not +rig.listener.refusals


async def test_a_header_has_its_time() -> None:
    """A byte now and then does not prolong it."""
    async with Rig(settings=receiving(0.5)) as rig:
        begun = time.monotonic()
        silent, slow = await rig.connect(), await rig.connect()

        async def dribble() -> None:
            with contextlib.suppress(OSError):
                for byte in b"PROXY TCP4 192.0.2.7":
                    await rig.send(slow, bytes([byte]))
                    await asyncio.sleep(0.1)

        dribbling = asyncio.create_task(dribble())
        assert await closed(rig, silent)
        assert await closed(rig, slow)
        assert 0.5 <= time.monotonic() - begun < 5
        await dribbling
        silent.close()
        slow.close()
        assert +rig.listener.refusals == {Reason.NO_HEADER.value: 2}


async def test_once_the_header_is_there_its_time_is_over() -> None:
    async with Rig(settings=receiving(0.3)) as rig:
        client = await rig.connect()
        await rig.send(client, build_v1(CARRIED))
        backend = await rig.accept()
        await asyncio.sleep(0.8)
        await rig.send(client, b"still here")
        assert await rig.receive(backend) == b"still here"
        client.close()
        backend.close()


async def test_only_trusted_addresses_may_send_headers() -> None:
    trusted = Access([(True, ip_network("10.0.0.0/8"))], default=False)
    async with Rig(settings=Settings(stages=Stages(trusted=trusted))) as rig:
        told = Told(rig)
        client = await rig.connect()
        with contextlib.suppress(OSError):
            await rig.send(client, build_v1(CARRIED))
        assert await closed(rig, client)
        client.close()
        assert [reason for _, _, reason in told.refused] == [Reason.UNTRUSTED]
        assert +rig.listener.refusals == {Reason.UNTRUSTED.value: 1}


async def test_access_rules_ask_for_the_client_that_the_header_names() -> None:
    """The sender's own address is denied, which does not matter; one of its clients is denied too, which does."""
    rules = Access([(False, ip_network("127.0.0.0/8")), (False, ip_network("192.0.2.7/32"))])
    async with Rig(settings=receiving(), access=rules) as rig:
        denied = await rig.connect()
        await rig.send(denied, build_v1(CARRIED))
        assert await closed(rig, denied)
        assert +rig.listener.refusals == {Reason.ACCESS.value: 1}
        allowed = await rig.connect()
        await rig.send(allowed, build_v2(Header(CARRIED.family, ("192.0.2.8", 1), CARRIED.destination)))
        backend = await rig.accept()
        for sock in denied, allowed, backend:
            sock.close()


async def test_the_hash_is_of_the_client_that_the_header_names() -> None:
    async with Rig(settings=receiving()) as rig:
        asked = []

        def acquire(client, tried):
            asked.append(client)
            return rig.pool.acquire(client, tried)

        rig.listener.acquire = acquire
        client = await rig.connect()
        await rig.send(client, build_v1(CARRIED))
        backend = await rig.accept()
        client.close()
        backend.close()
        assert asked == ["192.0.2.7"]


@pytest.mark.parametrize("version", ["1", "2"])
async def test_a_header_is_passed_on(version: str) -> None:
    """The client and what it connected to are those of the first balancer of the chain."""
    async with Rig(settings=receiving(version=version)) as rig:
        client = await rig.connect()
        await rig.send(client, build_v2(CARRIED) + b"data")
        backend = await rig.accept()
        assert await header_at(rig, backend) == (CARRIED, b"data")
        client.close()
        backend.close()


async def test_tlvs_are_passed_on_when_asked_for() -> None:
    tlvs = ((pp.ALPN, b"h2"), (0xE0, b"of their own"), (pp.AUTHORITY, b"a.example"), (pp.UNIQUE_ID, b"theirs"))
    stages = Stages(trusted=LOOPBACK, version="2", tlvs=frozenset({"unique_id", "authority"}))
    async with Rig(settings=Settings(stages=stages)) as rig:
        client = await rig.connect()
        await rig.send(client, build_v2(Header(CARRIED.family, CARRIED.source, CARRIED.destination, tlvs)))
        backend = await rig.accept()
        header, _ = await header_at(rig, backend)
        assert dict(header.tlvs) == {pp.AUTHORITY: b"a.example", pp.UNIQUE_ID: b"theirs"}
        client.close()
        backend.close()


async def test_waiting_for_headers_holds_nobody_else_up() -> None:
    """They count as connections, end with the server, and give everything back."""
    async with Rig(settings=receiving(60)) as rig:
        waiting = [await rig.connect() for _ in range(200)]
        await rig.until(lambda: len(rig.listener.connections) == 200)
        client = await rig.connect()
        await rig.send(client, build_v1(CARRIED) + b"question")
        backend = await rig.accept()
        assert await rig.receive(backend) == b"question"
        rig.listener.close_connections()
        assert await closed(rig, client)
        for sock in [*waiting, client, backend]:
            sock.close()


# the ClientHello


@asynccontextmanager
async def by_name(
    *backends: tuple[str, str], unexpected: str = "default", timeout: float = 5.0, **stages: object
) -> AsyncIterator[Rig]:
    """A rig whose backends have these sni and alpn."""
    async with Rig(backends=len(backends)) as rig:
        ports = [sock.getsockname()[1] for sock in rig.backends]
        rig.pool.update(
            BackendSpec("127.0.0.1", port, sni=sni, alpn=alpn)
            for port, (sni, alpn) in zip(ports, backends, strict=True)
        )
        route = ServerNames(rig.pool, unexpected).pick
        rig.listener.configure(Settings(stages=Stages(route=route, hello_timeout=timeout, **stages)))
        yield rig


@pytest.mark.parametrize("step", [1, 50, 10_000])
async def test_the_backend_of_the_name_gets_every_byte(step: int) -> None:
    """The hello in any segmentation, nothing of it consumed, and what follows it."""
    async with by_name(("a.com", ""), ("b.com", ""), ("", "")) as rig:
        for number, name in enumerate(("a.com", "B.com", "c.com")):
            client = await rig.connect()
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            hello = hellos.openssl(name, "h2")
            for at in range(0, len(hello), step):
                await rig.send(client, hello[at : at + step])
                if step < 1000:
                    await asyncio.sleep(0.001)
            backend = await rig.accept(number)
            await rig.send(client, b"and more")
            client.shutdown(socket.SHUT_WR)
            assert await rig.receive_all(backend) == hello + b"and more"
            assert [connection.server_name for connection in rig.listener.connections] == [name]
            client.close()
            backend.close()


async def test_large_streams_follow_the_hello_spliced() -> None:
    content = os.urandom(8 << 20)
    async with by_name(("a.com", "")) as rig:
        client = await rig.connect()
        hello = hellos.openssl("a.com")
        await rig.send(client, hello)
        backend = await rig.accept()
        sending_ = asyncio.create_task(rig.send(client, content))
        received = asyncio.create_task(rig.receive_all(backend))
        await sending_
        client.shutdown(socket.SHUT_WR)
        assert await received == hello + content
        client.close()
        backend.close()


async def test_protocols_choose_among_the_backends_of_a_name() -> None:
    async with by_name(("a.com", "h2"), ("a.com", "http/1.1"), ("a.com", "")) as rig:
        for number, offered in enumerate((["h2", "http/1.1"], ["http/1.1"], ["http/1.0"])):
            client = await rig.connect()
            await rig.send(client, hellos.openssl("a.com", *offered))
            backend = await rig.accept(number)
            client.close()
            backend.close()


@pytest.mark.parametrize("sent", [b"GET / HTTP/1.0\r\n\r\n", b"\x16\3\1\0\0", hellos.openssl("other.net")])
async def test_who_speaks_no_tls_or_means_nobody_is_unexpected(sent: bytes) -> None:
    async with by_name(("a.com", ""), ("", "")) as rig:
        client = await rig.connect()
        await rig.send(client, sent)
        backend = await rig.accept(1)
        assert await rig.receive(backend) == sent
        client.close()
        backend.close()
    async with by_name(("a.com", ""), ("", ""), unexpected="reject") as rig:
        client = await rig.connect()
        await rig.send(client, sent)
        assert await closed(rig, client)
        client.close()
        assert +rig.listener.refusals == {Reason.SNI.value: 1}


async def test_a_client_that_waits_for_the_server_is_unexpected_after_a_while() -> None:
    async with by_name(("a.com", ""), ("", ""), timeout=0.3) as rig:
        client = await rig.connect()
        backend = await rig.accept(1)
        await rig.send(backend, b"220 ready")
        assert await rig.receive(client) == b"220 ready"
        await rig.send(client, b"EHLO")
        assert await rig.receive(backend) == b"EHLO"
        client.close()
        backend.close()


async def test_a_hello_has_its_time() -> None:
    async with by_name(("a.com", ""), timeout=0.5) as rig:
        begun, hello = time.monotonic(), hellos.openssl("a.com")
        slow = await rig.connect()

        async def dribble() -> None:
            with contextlib.suppress(OSError):
                for byte in hello[:30]:
                    await rig.send(slow, bytes([byte]))
                    await asyncio.sleep(0.1)

        dribbling = asyncio.create_task(dribble())
        assert await closed(rig, slow)
        assert 0.5 <= time.monotonic() - begun < 5
        await dribbling
        slow.close()
        assert +rig.listener.refusals == {Reason.NO_HELLO.value: 1}


async def test_a_client_that_ends_within_its_hello_is_unexpected() -> None:
    async with by_name(("a.com", ""), unexpected="reject") as rig:
        client = await rig.connect()
        await rig.send(client, hellos.openssl("a.com")[:50])
        client.shutdown(socket.SHUT_WR)
        assert await closed(rig, client)
        client.close()
        assert +rig.listener.refusals == {Reason.SNI.value: 1}


async def test_a_client_that_resets_is_gone() -> None:
    async with by_name(("a.com", "")) as rig:
        told = Told(rig)
        client = await rig.connect()
        await rig.send(client, b"\x16")
        await rig.until(lambda: rig.listener.connections)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NONE)
        client.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CLIENT_RESET]


async def test_another_backend_of_the_name_is_tried() -> None:
    async with by_name(("a.com", ""), ("b.com", ""), ("a.com", "")) as rig:
        rig.backends.pop(0).close()
        for _ in range(4):
            client = await rig.connect()
            await rig.send(client, hellos.openssl("a.com"))
            backend = await rig.accept(1)
            client.close()
            backend.close()


@pytest.mark.parametrize("together", [True, False])
async def test_a_header_then_a_hello_then_a_header(together: bool) -> None:
    """Name and protocol are told to the backend, beside the client that the first header names."""
    tlvs = frozenset({"authority", "alpn"})
    async with by_name(("a.com", ""), ("", ""), trusted=LOOPBACK, version="2", tlvs=tlvs) as rig:
        client = await rig.connect()
        hello = hellos.openssl("a.com", "h2")
        await rig.send(client, build_v2(CARRIED) + (hello if together else b""))
        if not together:
            await asyncio.sleep(0.1)
            await rig.send(client, hello)
        backend = await rig.accept(0)
        header, data = await header_at(rig, backend)
        assert header == Header(
            CARRIED.family, CARRIED.source, CARRIED.destination, ((pp.ALPN, b"h2"), (pp.AUTHORITY, b"a.com"))
        )
        assert data == hello
        client.close()
        backend.close()


async def test_waiting_for_hellos_holds_nobody_else_up() -> None:
    async with by_name(("a.com", ""), timeout=60) as rig:
        waiting = [await rig.connect() for _ in range(200)]
        for sock in waiting[::2]:
            await rig.send(sock, b"\x16\3")
        client = await rig.connect()
        await rig.send(client, hellos.openssl("a.com"))
        backend = await rig.accept()
        assert await rig.receive(backend)
        rig.listener.close_connections()
        assert await closed(rig, client)
        for sock in [*waiting, client, backend]:
            sock.close()
