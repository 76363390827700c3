"""PROXY headers of datagrams: who is told of to the backends, and who a datagram is taken for."""

import socket
from ipaddress import ip_network

import pytest

from balancer import ACTIVE, TOTAL, TX, BackendSpec
from gobetween_py.proxy import proxy_protocol as pp
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.proxy_protocol import Header, build_v1, build_v2, parse
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.source import Source
from gobetween_py.proxy.staged import Stages
from tests.gobetween_py.proxy.test_source import as_root
from tests.gobetween_py.proxy.udp.rig import UdpRig

LOOPBACK = Access([(True, ip_network("127.0.0.0/8"))], default=False)
NOBODY = Access([], default=False)
TO = ("198.51.100.1", 53)
FIRST, SECOND = (Header(socket.AF_INET, (host, 4711), TO, datagram=True) for host in ("192.0.2.7", "192.0.2.8"))
SIX = Header(socket.AF_INET6, ("2001:db8::7", 4711), ("2001:db8::1", 53), datagram=True)
LOCAL = build_v2(Header())


def sending(*tlvs: str, **datagrams: int) -> Settings:
    stages = Stages(version="2", tlvs=frozenset(tlvs))
    return Settings(client_idle_timeout=60, stages=stages, datagrams=Datagrams(**datagrams))


def receiving(trusted: Access = LOOPBACK, *, version: str = "", tlvs: frozenset[str] = frozenset()) -> Settings:
    return Settings(client_idle_timeout=60, stages=Stages(trusted=trusted, version=version, tlvs=tlvs))


def told(datagram: bytes) -> tuple[Header, bytes]:
    parsed = parse(datagram)
    assert parsed is not None
    header, size = parsed
    return header, datagram[size:]


# out


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
async def test_every_datagram_tells_the_client(host: str) -> None:
    async with UdpRig(host=host, settings=sending()) as rig:
        client = rig.client()
        family = socket.AF_INET6 if host == "::1" else socket.AF_INET
        for data in b"first", b"", b"third":
            client.send(data)
            datagram, peer = await rig.take(rig.backends[0])
            header = Header(family, client.getsockname()[:2], rig.address[:2], datagram=True)
            assert told(datagram) == (header, data)
            rig.backends[0].sendto(b"answer", peer)
            assert await rig.receive(client) == b"answer"  # and no header
        assert rig.count(TX) == [10]  # of the client


async def test_what_a_socket_of_all_addresses_was_asked_at_is_told() -> None:
    """By an IPv4 client of an IPv6 socket too: both are told as IPv4."""
    async with UdpRig(host="", settings=sending()) as rig:
        client = rig.client(to=("127.0.0.5", rig.address[1]))
        client.send(b"question")
        header, _ = told(await rig.receive(rig.backends[0]))
        assert header == Header(socket.AF_INET, client.getsockname(), ("127.0.0.5", rig.address[1]), datagram=True)


async def test_fire_and_forget_tells_of_each_client_through_one_socket() -> None:
    async with UdpRig(settings=sending(max_requests=1)) as rig:
        peers = set()
        for _ in range(5):
            client = rig.client()
            client.send(b"told")
            datagram, peer = await rig.take(rig.backends[0])
            peers.add(peer)
            header, data = told(datagram)
            assert (header.source, data) == (client.getsockname(), b"told")
        assert len(peers) == 1
        assert rig.count(TX) == [20]


async def test_tlvs_of_a_session_are_the_same_in_all_its_datagrams() -> None:
    async with UdpRig(settings=sending("unique_id", "crc32c", "ssl", "authority", "alpn")) as rig:
        ids = []
        for client in rig.client(), rig.client():
            for _ in range(2):
                client.send(b"x")
                header, _ = told(await rig.receive(rig.backends[0]))  # the checksum was right
                [(kind, value)] = header.tlvs
                assert kind == pp.UNIQUE_ID
                ids.append(value)
        assert ids[0] == ids[1] != ids[2] == ids[3]


async def test_a_backend_may_want_a_header_or_none() -> None:
    async with UdpRig(backends=3, settings=sending()) as rig:
        wishes = ["none", "2", "1"]
        specs = [
            BackendSpec("127.0.0.1", port, proxy_protocol=wish) for port, wish in zip(rig.ports, wishes, strict=True)
        ]
        rig.pool.update(specs)
        for number, wish in enumerate(wishes):
            rig.client().send(b"x")
            datagram = await rig.receive(rig.backends[number])
            assert (datagram != b"x") is (wish == "2")  # version 1 knows no UDP


async def test_the_largest_datagram_leaves_room_for_the_header() -> None:
    async with UdpRig(settings=sending()) as rig:
        client = rig.client()
        client.send(bytes(65_507 - 28 + 1))
        await rig.until(lambda: rig.listener.dropped == 1)
        client.send(bytes(65_507 - 28))
        assert len(await rig.receive(rig.backends[0])) == 65_507


# in


async def test_one_sender_speaks_for_many_clients() -> None:
    """Each is a session, with a backend of its own, and keeps it from another port of the sender's only."""
    async with UdpRig(backends=2, settings=receiving()) as rig:
        sender = rig.client()
        for _ in range(3):
            for number, header in enumerate((FIRST, SECOND)):
                sender.send(build_v2(header) + b"%d" % number)
                data, peer = await rig.take(rig.backends[number])
                assert data == b"%d" % number
                rig.backends[number].sendto(b"re: " + data, peer)
                assert await rig.receive(sender) == b"re: " + data
        assert rig.count(TOTAL) == [1, 1]
        hosts = {(flow.host, flow.port) for flow in rig.listener.connections}
        assert hosts == {FIRST.source, SECOND.source}
        rig.client().send(build_v2(FIRST) + b"again")
        await rig.until(lambda: sum(rig.count(TOTAL)) == 3)


async def test_headers_may_differ_in_what_does_not_name_the_client() -> None:
    async with UdpRig(settings=receiving()) as rig:
        sender = rig.client()
        for number in range(3):
            tlvs = ((pp.UNIQUE_ID, b"%d" % number),)
            sender.send(build_v2(Header(FIRST.family, FIRST.source, TO, tlvs, datagram=True), checksum=True) + b"x")
            assert await rig.receive(rig.backends[0]) == b"x"
        assert rig.count(TOTAL) == [1]


async def test_a_datagram_may_be_empty_behind_its_header() -> None:
    async with UdpRig(settings=receiving()) as rig:
        rig.client().send(build_v2(SIX))
        assert await rig.receive(rig.backends[0]) == b""


async def test_access_rules_are_about_the_client_that_is_named() -> None:
    deny = Access([(False, ip_network("192.0.2.7"))], default=True)
    async with UdpRig(settings=receiving(), access=deny) as rig:
        sender = rig.client()
        sender.send(build_v2(FIRST) + b"denied")
        sender.send(build_v2(SECOND) + b"allowed")
        assert await rig.receive(rig.backends[0]) == b"allowed"
        assert rig.listener.refusals[Reason.ACCESS.value] == 1


async def test_who_is_not_trusted_is_not_heard() -> None:
    async with UdpRig(settings=receiving(NOBODY)) as rig:
        turned_away = []
        rig.listener.on_refusal = (lambda *refusal: turned_away.append(refusal),)
        sender = rig.client()
        for _ in range(2):
            sender.send(build_v2(FIRST) + b"x")
        await rig.until(lambda: rig.listener.refusals[Reason.UNTRUSTED.value] == 2)
        assert turned_away == [(*sender.getsockname(), Reason.UNTRUSTED)] * 2
        assert await rig.silent(rig.backends[0])


@pytest.mark.parametrize(
    "datagram",
    [b"", b"question", build_v1(FIRST) + b"x", build_v2(FIRST)[:-1], pp.SIGNATURE + b"\x31\x12\0\0", pp.SIGNATURE],
    ids=["empty", "none", "version 1", "too short", "version 3", "signature"],
)
async def test_a_datagram_without_a_good_header_is_dropped(datagram: bytes) -> None:
    async with UdpRig(settings=receiving()) as rig:
        sender = rig.client()
        sender.send(datagram)
        await rig.until(lambda: rig.listener.refusals[Reason.BAD_HEADER.value] == 1)
        sender.send(build_v2(FIRST) + b"good")
        assert await rig.receive(rig.backends[0]) == b"good"
        assert not rig.listener.dropped


async def test_local_is_the_sender_itself() -> None:
    async with UdpRig(settings=receiving(version="2")) as rig:
        sender = rig.client()
        sender.send(LOCAL + b"check")
        header, data = told(await rig.receive(rig.backends[0]))
        assert (header.source, header.destination, data) == (sender.getsockname(), rig.address, b"check")
        [session] = rig.listener.connections
        assert (session.host, session.port) == sender.getsockname()


@pytest.mark.parametrize("header", [FIRST, SIX], ids=["IPv4", "IPv6"])
async def test_what_came_in_goes_out(header: Header) -> None:
    """With the TLVs that are asked for."""
    tlvs = ((pp.UNIQUE_ID, b"17"), (pp.AUTHORITY, b"a.test"), (0xE0, b"custom"))
    carried = Header(header.family, header.source, header.destination, tlvs, datagram=True)
    async with UdpRig(settings=receiving(version="2", tlvs=frozenset({"unique_id", "crc32c"}))) as rig:
        rig.client().send(build_v2(carried) + b"x")
        got, data = told(await rig.receive(rig.backends[0]))
        assert got == Header(header.family, header.source, header.destination, tlvs[:1], datagram=True)
        assert data == b"x"


async def test_a_client_of_a_unix_socket_has_no_address() -> None:
    """Two of them are told apart by their paths all the same."""
    async with UdpRig(settings=receiving()) as rig:
        sender = rig.client()
        for path in "/run/a", "/run/b":
            sender.send(build_v2(Header(socket.AF_UNIX, (path, 0), ("/run/log", 0), datagram=True)) + b"x")
            assert await rig.receive(rig.backends[0]) == b"x"
        assert [(flow.host, flow.port) for flow in rig.listener.connections] == [("", 0)] * 2


@as_root
async def test_the_client_that_is_named_may_be_posed_as() -> None:
    settings = Settings(client_idle_timeout=60, stages=Stages(trusted=LOOPBACK), source=Source(transparent=True))
    async with UdpRig(settings=settings) as rig:
        rig.client().send(build_v2(FIRST) + b"x")
        assert await rig.take(rig.backends[0]) == (b"x", FIRST.source)


async def test_a_reload_begins_and_ends_it() -> None:
    """Sessions that have begun without headers, or with them, bring their answers as ever."""
    async with UdpRig(settings=Settings(client_idle_timeout=60)) as rig:
        plain, named = rig.client(), rig.client()
        plain.send(b"1")
        _, before = await rig.take(rig.backends[0])
        rig.listener.configure(receiving())
        named.send(build_v2(FIRST) + b"2")
        data, during = await rig.take(rig.backends[0])
        assert data == b"2"
        rig.listener.configure(Settings(client_idle_timeout=60))
        plain.send(b"3")
        assert await rig.take(rig.backends[0]) == (b"3", before)
        for client, peer in (plain, before), (named, during):
            rig.backends[0].sendto(b"answer", peer)
            assert await rig.receive(client) == b"answer"
        assert rig.count(ACTIVE) == [2]


async def test_a_socket_that_is_moved_to_expects_them_too() -> None:
    async with UdpRig(settings=receiving()) as rig:
        sock = rig.bound()
        rig.listener.move(sock)
        rig.client(to=sock.getsockname()).send(build_v2(FIRST) + b"x")
        assert await rig.receive(rig.backends[0]) == b"x"


async def test_what_waits_when_the_door_is_shut_is_unwrapped_too() -> None:
    async with UdpRig(settings=receiving()) as rig:
        rig.client().send(build_v2(FIRST) + b"waiting")
        rig.listener.stop_accepting()
        assert await rig.receive(rig.backends[0]) == b"waiting"
