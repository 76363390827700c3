"""TLS towards clients and backends: handshakes, bytes, ends and truncation, on real sockets."""

import asyncio
import contextlib
import os
import socket
import ssl
import time
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path

import pytest

from balancer import REFUSED, BackendSpec, Counters, Pool
from balancer.sni import ServerNames
from gobetween_py.config.tls import BackendsTls, CertificateFiles, Tls
from gobetween_py.proxy import proxy_protocol
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.origination import Origination, name_of
from gobetween_py.proxy.proxy_protocol import Header, build_v2
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Settings
from gobetween_py.proxy.sockets import unread
from gobetween_py.proxy.staged import Stages
from gobetween_py.proxy.termination import Termination
from gobetween_py.tls.contexts import client_context, server_context
from tests.gobetween_py.proxy.rig import Rig
from tests.gobetween_py.proxy.test_end import Told
from tests.gobetween_py.proxy.test_packets import segments_in, unacknowledged
from tests.gobetween_py.proxy.tls_peer import TlsPeer, TruncatedError
from tests.services.certificates import Authority, Certificate

SIDES = ["client", "backend", "both"]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def own(authority: Authority) -> Certificate:
    return authority.issue("localhost")


def files(certificate: Certificate) -> CertificateFiles:
    return CertificateFiles(cert_path=str(certificate.certificate), key_path=str(certificate.key))


class Ends:
    """A rig with TLS on the client's side, the backends' side, or both; and peers that speak it."""

    def __init__(self, authority: Authority, own: Certificate, side: str, **stages: object) -> None:
        self.authority = authority
        self.client_side, self.backend_side = side in ("client", "both"), side in ("backend", "both")
        pair = {"cert_path": str(own.certificate), "key_path": str(own.key)}
        timeout = float(stages.pop("timeout", 5.0))  # type: ignore[arg-type]
        self.server = server_context(Tls(session_tickets=True, **pair))
        self.termination = Termination(self.server, timeout) if self.client_side else None
        backends = client_context(BackendsTls(root_ca_cert_path=str(authority.ca)))
        self.origination = Origination(backends, timeout) if self.backend_side else None
        self.settings = Settings(
            stages=Stages(termination=self.termination, origination=self.origination, **stages)  # type: ignore[arg-type]
        )
        self.client_context = authority.context()

    async def client(self, rig: Rig, name: str = "localhost", **options: object) -> "TlsPeer | Plain":
        sock = await rig.connect()
        if not self.client_side:
            return Plain(rig, sock)
        peer = TlsPeer(sock, self.client_context, name, **options)  # type: ignore[arg-type]
        await peer.handshake()
        return peer

    async def backend(self, rig: Rig, number: int = 0) -> "TlsPeer | Plain":
        sock = await rig.accept(number)
        if not self.backend_side:
            return Plain(rig, sock)
        peer = TlsPeer(sock, self.server)
        await peer.handshake()
        return peer

    async def pair(self, rig: Rig) -> "tuple[TlsPeer | Plain, TlsPeer | Plain]":
        client, backend = await asyncio.gather(self.client(rig), self.backend(rig))
        return client, backend


class Plain:
    """A peer without TLS, driven in the same way."""

    def __init__(self, rig: Rig, sock: socket.socket) -> None:
        self.rig, self.socket = rig, sock

    async def send(self, data: bytes) -> None:
        await self.rig.send(self.socket, data)

    async def receive(self, size: int = 65_536) -> bytes:
        return await self.rig.receive(self.socket, size)

    async def receive_all(self) -> bytes:
        return await self.rig.receive_all(self.socket)

    async def notify(self) -> None:
        self.socket.shutdown(socket.SHUT_WR)

    async def close(self) -> None:
        self.socket.close()


MakeEnds = Callable[..., Ends]


@pytest.fixture
def ends(authority: Authority, own: Certificate) -> MakeEnds:
    return lambda side, **stages: Ends(authority, own, side, **stages)


# bytes


@pytest.mark.parametrize("side", SIDES)
async def test_messages_pass_both_ways(ends: MakeEnds, side: str) -> None:
    it = ends(side)
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client, backend = await it.pair(rig)
        for round_ in range(3):
            await client.send(b"question %d" % round_)
            assert await backend.receive() == b"question %d" % round_
            await backend.send(b"answer %d" % round_)
            assert await client.receive() == b"answer %d" % round_
        await client.close()
        await backend.close()
        await rig.until(lambda: told.reasons)
        assert told.bytes == [(30, 24)]


@pytest.mark.parametrize("side", SIDES)
async def test_much_arrives_whole_in_either_direction(ends: MakeEnds, side: str) -> None:
    """More than all buffers hold, with readers that come late: every stall is resumed."""
    it = ends(side)
    there, back = os.urandom(6 << 20), os.urandom(6 << 20)
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)

        async def receive_exactly(peer: "TlsPeer | Plain", size: int) -> bytes:
            await asyncio.sleep(0.2)
            parts = b""
            while len(parts) < size:
                parts += await peer.receive()
            return parts

        sending = asyncio.create_task(client.send(there))
        assert await receive_exactly(backend, len(there)) == there
        await sending
        sending = asyncio.create_task(backend.send(back))
        assert await receive_exactly(client, len(back)) == back
        await sending
        await client.close()
        await backend.close()


async def test_a_server_that_speaks_first_is_heard(ends: MakeEnds) -> None:
    """Its greeting may come in one packet with the end of its handshake."""
    it = ends("both")
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)
        await backend.send(b"220 ready")
        assert await client.receive() == b"220 ready"
        await client.close()
        await backend.close()


# the handshake


async def test_no_backend_is_dialled_before_the_clients_handshake(ends: MakeEnds) -> None:
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        sock = await rig.connect()
        await asyncio.sleep(0.2)
        [connection] = rig.listener.connections
        assert connection.attempts == 0
        peer = TlsPeer(sock, it.client_context, "localhost")
        await peer.handshake()
        backend = await rig.accept()
        await peer.close()
        backend.close()


async def test_a_handshake_a_byte_at_a_time_gets_through(ends: MakeEnds) -> None:
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        sock = await rig.connect()
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer = TlsPeer(sock, it.client_context, "localhost", step=1, pause=0.0005)
        await peer.handshake()
        backend = await rig.accept()
        await peer.send(b"hello")
        assert await rig.receive(backend) == b"hello"
        await peer.close()
        backend.close()


async def test_a_handshake_has_its_time(ends: MakeEnds) -> None:
    """A byte now and then does not prolong it; a silent client has no ssl object."""
    it = ends("client", timeout=0.5)
    async with Rig(settings=it.settings) as rig:
        begun = time.monotonic()
        silent, slow = await rig.connect(), await rig.connect()
        peer = TlsPeer(slow, it.client_context, "localhost", step=1, pause=0.05)
        with pytest.raises((ConnectionError, TruncatedError)):
            await peer.handshake()
        assert await rig.receive(silent) == b""
        assert 0.5 <= time.monotonic() - begun < 8
        silent.close()
        slow.close()
        assert +rig.listener.refusals == {Reason.NO_TLS.value: 2}


async def test_who_does_not_speak_tls_is_turned_away(ends: MakeEnds) -> None:
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client = await rig.connect()
        await rig.send(client, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await rig.receive_all(client)
        client.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.TLS]


async def test_a_port_check_is_nobodys_fault(ends: MakeEnds) -> None:
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        (await rig.connect()).close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CLIENT]
        assert not +rig.listener.refusals


async def test_a_client_that_does_not_trust_the_certificate_gets_no_backend(ends: MakeEnds) -> None:
    it = ends("client")
    it.client_context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    async with Rig(settings=it.settings) as rig:
        with pytest.raises(ssl.SSLCertVerificationError):
            await it.client(rig)
        await rig.until(lambda: +rig.listener.refusals)
        assert +rig.listener.refusals == {Reason.TLS.value: 1}


async def test_a_client_resumes_its_session(ends: MakeEnds) -> None:
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        first, backend = await it.pair(rig)
        await backend.send(b"x")
        assert await first.receive() == b"x"  # the tickets came before
        assert isinstance(first, TlsPeer)
        session = first.tls.session
        await first.close()
        await backend.close()
        again = await it.client(rig, session=session)
        backend = await it.backend(rig)
        assert isinstance(again, TlsPeer)
        assert again.tls.session_reused
        await again.close()
        await backend.close()


async def test_a_client_with_nagles_algorithm_is_not_kept_waiting(ends: MakeEnds) -> None:
    """Where its message ends the handshake, it sends nothing more until that is acknowledged."""
    it = ends("client")
    it.server.num_tickets = 0
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)
        await rig.until(lambda: any(one.up for one in rig.listener.connections))
        assert unacknowledged(client.socket) == 0
        await client.close()
        await backend.close()


@pytest.mark.parametrize("first", ["PROXY header", "server name"])
async def test_a_hello_that_is_there_when_its_turn_comes_is_not_waited_for(ends: MakeEnds, first: str) -> None:
    """It came together with the header, or the stage before has only looked at it: no event tells of it again."""
    it = ends("client", timeout=30.0)
    async with Rig(settings=it.settings) as rig:
        if first == "PROXY header":
            stages = Stages(termination=it.termination, trusted=Access([], default=True))
        else:
            stages = Stages(termination=it.termination, route=ServerNames(rig.pool, "default").pick)
        rig.listener.configure(Settings(stages=stages))
        sock = await rig.connect()
        client = TlsPeer(sock, it.client_context, "localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            client.tls.do_handshake()
        header = build_v2(Header()) if first == "PROXY header" else b""
        await rig.send(sock, header + client._out.read())
        await client.handshake()
        backend = await it.backend(rig)
        await client.send(b"question")
        assert await backend.receive() == b"question"
        await client.close()
        await backend.close()


@pytest.mark.parametrize(("asked", "told"), [("a.test", b"a.test"), ("a.test.", b"a.test"), ("127.0.0.1", None)])
async def test_the_backend_is_told_the_name_that_the_client_asks_for(
    ends: MakeEnds, own: Certificate, asked: str, told: bytes | None
) -> None:
    """Clients do not ask for addresses by name."""
    it = ends("client", version="2", tlvs=frozenset({"authority"}))
    assert it.termination is not None
    files = {"cert_path": str(own.certificate), "key_path": str(own.key)}
    it.termination.context = server_context(Tls(**files), tell_names=True)
    it.client_context.check_hostname = False
    async with Rig(settings=it.settings) as rig:
        client, backend = await asyncio.gather(it.client(rig, asked), it.backend(rig))
        parsed = proxy_protocol.parse(await backend.receive())
        assert parsed is not None
        assert parsed[0].value(proxy_protocol.AUTHORITY) == told
        assert [flow.server_name for flow in rig.listener.connections] == [(told or b"").decode()]
        await client.close()
        await backend.close()


@pytest.mark.parametrize("ends_there", [False, True])
async def test_a_client_of_which_there_is_only_a_header_costs_no_ssl_object(ends: MakeEnds, ends_there: bool) -> None:
    """A health check of another balancer is no handshake that failed."""
    it = ends("client", trusted=Access([], default=True))
    async with Rig(settings=it.settings) as rig:
        sock = await rig.connect()
        await rig.send(sock, build_v2(Header()))
        if ends_there:
            sock.shutdown(socket.SHUT_WR)
            assert await rig.receive(sock) == b""
            assert not +rig.listener.refusals
        else:
            await rig.until(lambda: any(c.header for c in rig.listener.connections))
            await asyncio.sleep(0.05)
            assert [c.client_tls for c in rig.listener.connections] == [None]
        sock.close()


@pytest.mark.parametrize("received", [False, True])
async def test_the_backend_is_told_of_the_clients_tls(ends: MakeEnds, received: bool) -> None:
    """Of the TLS that ends here, unless the client's own header tells of another."""
    trusted = Access([(True, ip_network("127.0.0.0/8"))], default=False) if received else None
    it = ends("client", version="2", tlvs=frozenset({"ssl"}), trusted=trusted)
    tlvs = ((proxy_protocol.SSL, b"as a balancer before us saw it"),)
    header = Header(socket.AF_INET, ("192.0.2.7", 1), ("192.0.2.8", 2), tlvs)
    async with Rig(settings=it.settings) as rig:
        sock = await rig.connect()
        if received:
            await rig.send(sock, build_v2(header))
        client = TlsPeer(sock, it.client_context, "localhost")
        await client.handshake()
        backend = await it.backend(rig)
        parsed = proxy_protocol.parse(await backend.receive())
        assert parsed is not None
        value = parsed[0].value(proxy_protocol.SSL)
        assert value is not None
        cipher = client.tls.cipher()
        assert cipher is not None
        if received:
            assert parsed[0] == header
        else:
            assert value.startswith(bytes.fromhex("01 00000001"))
            assert value.endswith(b"\x21\0\7TLSv1.3\x23\0" + bytes([len(cipher[0])]) + cipher[0].encode())
        await client.close()
        await backend.close()


# the end


@pytest.mark.parametrize("side", SIDES)
async def test_the_answer_to_a_half_closed_request_arrives(ends: MakeEnds, side: str) -> None:
    it = ends(side)
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client, backend = await it.pair(rig)
        await client.send(b"request")
        await client.notify()
        assert await backend.receive_all() == b"request"
        answer = os.urandom(1 << 20)
        sending = asyncio.create_task(backend.send(answer))
        received = b""
        while len(received) < len(answer):
            received += await client.receive()
        await sending
        await backend.notify()
        assert received == answer
        assert await client.receive() == b""
        client.socket.close()
        backend.socket.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CLIENT]


@pytest.mark.parametrize("side", SIDES)
async def test_a_client_may_go_on_after_the_backends_end(ends: MakeEnds, side: str) -> None:
    it = ends(side)
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client, backend = await it.pair(rig)
        await backend.send(b"that was all")
        await backend.notify()
        assert await client.receive_all() == b"that was all"
        await client.send(b"one more")
        assert await backend.receive() == b"one more"
        await client.notify()
        assert await backend.receive() == b""
        client.socket.close()
        backend.socket.close()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.BACKEND]


async def test_a_client_that_ends_without_close_notify_resets_the_backend(ends: MakeEnds) -> None:
    """Or a truncated upload would look whole."""
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client, backend = await it.pair(rig)
        await client.send(b"half of an upl")
        assert await backend.receive() == b"half of an upl"
        client.socket.close()
        with pytest.raises(ConnectionResetError):
            await backend.receive()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CLIENT_RESET]
        await backend.close()


@pytest.mark.parametrize("side", ["backend", "both"])
async def test_a_backend_that_ends_without_close_notify_resets_the_client(ends: MakeEnds, side: str) -> None:
    it = ends(side)
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client, backend = await it.pair(rig)
        await backend.send(b"half of a downl")
        assert await client.receive() == b"half of a downl"
        backend.socket.close()
        with pytest.raises((ConnectionResetError, TruncatedError)):
            await client.receive()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.BACKEND_RESET]
        client.socket.close()


async def test_an_idle_timeout_is_no_end_in_order(ends: MakeEnds) -> None:
    """The client is not told that this was all."""
    it = ends("client")
    settings = Settings(stages=it.settings.stages, client_idle_timeout=0.3)
    async with Rig(settings=settings) as rig:
        client, backend = await it.pair(rig)
        with pytest.raises((ConnectionResetError, TruncatedError)):
            await client.receive()
        client.socket.close()
        await backend.close()


async def test_the_end_waits_for_what_the_other_side_has_still_to_say(ends: MakeEnds) -> None:
    """The backend ends while the client's upload is stalled: close_notify follows once that is read."""
    it = ends("client")
    upload = os.urandom(12 << 20)
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)
        sending = asyncio.create_task(client.send(upload))
        await asyncio.sleep(0.3)
        await backend.send(b"enough")
        await backend.notify()
        await asyncio.sleep(0.2)
        (connection,) = rig.listener.connections
        assert not connection.client.getsockopt(socket.IPPROTO_TCP, socket.TCP_CORK), "the last bytes wait with the end"
        received = b""
        while len(received) < len(upload):
            received += await backend.receive(1 << 20)
        await sending
        assert received == upload
        assert await client.receive_all() == b"enough"
        await client.close()
        backend.socket.close()


async def test_the_last_bytes_and_the_end_are_one_packet(ends: MakeEnds) -> None:
    it = ends("client")
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)
        await backend.send(b"ready")
        assert await client.receive() == b"ready"  # behind the tickets
        before = segments_in(client.socket)
        # While we hold the event loop nothing is relayed, so that both have come when it is.
        backend.socket.send(b"all there is")
        backend.socket.shutdown(socket.SHUT_WR)
        assert await client.receive_all() == b"all there is"
        assert segments_in(client.socket) == before + 1
        await client.close()
        await backend.close()


@pytest.mark.parametrize("side", ["client", "both"])
async def test_what_a_backend_said_before_its_reset_arrives(ends: MakeEnds, side: str) -> None:
    it = ends(side)
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)
        await client.send(b"a request, and a body that is not read")
        await rig.until(lambda: unread(backend.socket.fileno()))
        await backend.send(b"ready")
        assert await client.receive() == b"ready"
        await backend.send(b"413 Content Too Large")
        backend.socket.close()
        assert await client.receive() == b"413 Content Too Large"
        with pytest.raises((ConnectionResetError, TruncatedError)):
            await client.receive()
        client.socket.close()


@pytest.mark.parametrize("first", ["client", "backend"])
async def test_close_notify_is_told_no_sooner_than_the_end(ends: MakeEnds, first: str) -> None:
    """Who hears it may answer at once, and OpenSSL takes no answer while it is still busy with its shutdown."""
    it = ends("both")
    async with Rig(settings=it.settings) as rig:
        client, backend = await it.pair(rig)
        await client.send(b"question")
        assert await backend.receive() == b"question"
        await backend.send(b"answer")
        assert await client.receive() == b"answer"  # behind the tickets
        one, other = (client, backend) if first == "client" else (backend, client)
        before = segments_in(other.socket)
        await one.notify()
        assert await other.receive() == b""
        assert segments_in(other.socket) == before + 1
        await other.close()
        await one.close()


# backends


async def test_another_backend_is_tried_when_a_handshake_fails(ends: MakeEnds) -> None:
    """The first one closes in the middle of it, the second one completes it."""
    it = ends("backend")
    async with Rig(backends=2, settings=it.settings) as rig:
        order = sorted(range(2), key=lambda n: rig.backends[n].getsockname()[1])
        client = await it.client(rig)
        (await rig.accept(order[0])).close()
        backend = await it.backend(rig, order[1])
        await client.send(b"hello")
        assert await backend.receive() == b"hello"
        assert sum(rig.counters.values[known.row + REFUSED] for known in rig.pool.backends) == 1
        await client.close()
        await backend.close()


async def test_a_silent_backend_has_its_time(ends: MakeEnds) -> None:
    it = ends("backend", timeout=0.3)
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client = await it.client(rig)
        backend = await rig.accept()
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CONNECT]
        backend.close()
        await client.close()


async def test_a_backend_whose_certificate_is_for_another_name_is_refused(
    authority: Authority, own: Certificate
) -> None:
    it = Ends(authority, own, "backend")
    it.server = server_context(Tls(certificates=(files(_for_another_name(authority)),)))
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client = await it.client(rig)
        with contextlib.suppress(ssl.SSLError, TruncatedError, ConnectionError):
            await it.backend(rig)  # with TLS 1.3 a server is through before it is refused
        await rig.until(lambda: told.reasons)
        assert told.reasons == [Reason.CONNECT]
        await client.close()


def _for_another_name(authority: Authority) -> Certificate:
    """Without the loopback addresses that the authority puts into its certificates."""
    made = Certificate(authority.folder / "other.pem", authority.folder / "other.key")
    import subprocess

    ca = Path(authority.ca)
    command = ["openssl", "req", "-x509", "-CA", ca, "-CAkey", ca.with_suffix(".key"), "-days", "1", "-nodes"]
    command += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-subj", "/CN=other", "-keyout", made.key]
    command += ["-addext", "subjectAltName=DNS:other.example.com", "-out", made.certificate]
    subprocess.run(command, check=True, capture_output=True)
    return made


async def test_a_backends_session_is_resumed(ends: MakeEnds) -> None:
    it = ends("backend")
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        resumed = []
        for round_ in range(3):
            client, backend = await it.pair(rig)
            assert isinstance(backend, TlsPeer)
            await backend.send(b"x")
            assert await client.receive() == b"x"
            resumed.append(backend.tls.session_reused)
            await client.close()
            await backend.close()
            await rig.until(lambda count=round_ + 1: len(told.reasons) == count)
        assert resumed == [False, True, True]


@pytest.mark.parametrize("side", SIDES)
async def test_the_proxy_header_comes_before_everything(ends: MakeEnds, side: str) -> None:
    it = ends(side, version="2")
    async with Rig(settings=it.settings) as rig:
        accepting = asyncio.create_task(rig.accept())
        client = await it.client(rig)
        sock = await accepting
        header = proxy_protocol.parse(await rig.receive(sock, 28))
        assert header is not None
        assert header[0].source == client.socket.getsockname()
        backend: TlsPeer | Plain = Plain(rig, sock)
        if it.backend_side:
            backend = TlsPeer(sock, it.server)
            await backend.handshake()
        await client.send(b"hello")
        assert await backend.receive() == b"hello"
        await client.close()
        await backend.close()


async def test_a_client_that_ends_with_its_handshake_is_let_go(ends: MakeEnds, own: Certificate) -> None:
    """A regression: its FIN came in one event with the handshake's last bytes, and was forgotten."""
    it = ends("client")
    assert it.termination is not None
    it.termination.context = server_context(Tls(certificates=(files(own),)))  # no ticket that it leaves unread
    async with Rig(settings=it.settings) as rig:
        told = Told(rig)
        client = await it.client(rig)
        client.socket.close()
        await rig.until(lambda: told.reasons)


@pytest.mark.parametrize(
    ("sni", "name"),
    [("a.test", "a.test"), ("*.a.test, b.test", "b.test"), (r"^shop\d+\.a\.test$", "127.0.0.1"), ("", "127.0.0.1")],
)
def test_a_backend_is_asked_for_by_its_first_plain_name(sni: str, name: str) -> None:
    """An sni may also be a list, a wildcard or a pattern, which no certificate is verified by."""
    pool = Pool("roundrobin", Counters())
    [backend] = pool.update([BackendSpec("127.0.0.1", 1, sni=sni)]).added
    assert name_of(backend) == name
