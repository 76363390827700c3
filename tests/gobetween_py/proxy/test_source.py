"""The address that a backend sees."""

import errno
import os
import socket

import pytest

from balancer import ACTIVE, REFUSED, TOTAL, Backend, BackendSpec
from gobetween_py.proxy.access import Access
from gobetween_py.proxy.proxy_protocol import Header, build_v1
from gobetween_py.proxy.reason import Reason
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.source import AF_INET, AF_INET6, Source, SourceError
from gobetween_py.proxy.staged import Stages
from gobetween_py.proxy.udp.upstream import connected
from tests.gobetween_py.proxy.rig import Rig
from tests.gobetween_py.proxy.udp.rig import UdpRig

ELSEWHERE = "192.0.2.1"
"""No machine has it (RFC 5737)."""

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="the address of a client needs CAP_NET_ADMIN")


def from_(*addresses: str) -> Source:
    return Source(own={AF_INET6 if ":" in address else AF_INET: address for address in addresses})


async def test_a_backend_sees_the_address_that_is_set() -> None:
    async with Rig(settings=Settings(source=from_("127.0.0.7"))) as rig:
        client, backend = await rig.pair()
        assert backend.getpeername()[0] == "127.0.0.7"
        await rig.send(client, b"question")
        assert await rig.receive(backend) == b"question"
        client.close()
        backend.close()


async def test_an_address_of_another_family_leaves_the_choice_to_the_kernel() -> None:
    async with Rig(settings=Settings(source=from_("::1"))) as rig:
        client, backend = await rig.pair()
        assert backend.getpeername()[0] == "127.0.0.1"
        client.close()
        backend.close()


async def test_settings_may_change_it() -> None:
    async with Rig() as rig:
        for settings, seen in (Settings(source=from_("127.0.0.8")), "127.0.0.8"), (Settings(), "127.0.0.1"):
            rig.listener.configure(settings)
            client, backend = await rig.pair()
            assert backend.getpeername()[0] == seen
            client.close()
            backend.close()


async def test_an_address_that_the_machine_has_not_is_nobodys_fault(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Each is tried, none is counted as refusing, and all are given back."""
    async with Rig(backends=2, settings=Settings(source=from_(ELSEWHERE))) as rig:
        refused: list[object] = []
        rig.listener.on_refused = lambda backend, why: refused.append(backend)
        client = await rig.connect()
        assert await rig.receive(client) == b""
        client.close()
        assert rig.listener.refusals[Reason.CONNECT.value] == 1
        for backend in rig.pool.backends:
            row = backend.row
            assert [rig.counters.values[row + column] for column in (REFUSED, TOTAL, ACTIVE)] == [0, 0, 0]
    assert not refused
    assert f"{ELSEWHERE} cannot be the source: Cannot assign requested address" in caplog.text


@as_root
async def test_a_client_gets_a_backend_whose_family_is_its_own() -> None:
    """Nobody can be an IPv4 client towards an IPv6 backend."""
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
        async with Rig(backends=2, settings=Settings(source=Source(transparent=True))) as rig:
            first, _ = sorted(rig.pool.backends, key=lambda b: b.port != rig.backends[0].getsockname()[1])
            rig.pool.set_resolved(first, socket.AF_INET6, six.getsockname())
            for _ in range(4):
                client = await rig.connect()
                backend = await rig.accept(1)
                assert backend.getpeername()[0] == "127.0.0.1"
                client.close()
                backend.close()


@as_root
async def test_the_client_that_a_header_names_is_posed_as() -> None:
    trusted = Access([], default=True)
    settings = Settings(stages=Stages(trusted=trusted), source=Source(transparent=True))
    async with Rig(settings=settings) as rig:
        client = await rig.connect()
        await rig.send(client, build_v1(Header(socket.AF_INET, ("127.0.0.9", 4711), ("127.0.0.1", 80))))
        backend = await rig.accept()
        assert backend.getpeername()[0] == "127.0.0.9"
        client.close()
        backend.close()


async def test_datagrams_have_it_too() -> None:
    async with UdpRig(settings=Settings(client_idle_timeout=60, source=from_("127.0.0.7"))) as rig:
        client = rig.client()
        client.send(b"question")
        data, peer = await rig.take(rig.backends[0])
        assert (data, peer[0]) == (b"question", "127.0.0.7")
        rig.backends[0].sendto(b"answer", peer)
        assert await rig.receive(client) == b"answer"


async def test_a_one_way_socket_with_another_source_is_not_used_again() -> None:
    one_way = Datagrams(max_requests=1)
    async with UdpRig(settings=Settings(datagrams=one_way, source=from_("127.0.0.7"))) as rig:
        client = rig.client()
        for source, seen in (from_("127.0.0.7"), "127.0.0.7"), (from_("127.0.0.8"), "127.0.0.8"), (None, "127.0.0.1"):
            rig.listener.configure(Settings(datagrams=one_way, source=source))
            client.send(b"told")
            assert (await rig.take(rig.backends[0]))[1][0] == seen


@pytest.mark.parametrize(
    ("source", "family", "host", "why"),
    [
        (from_(ELSEWHERE), AF_INET, "", f"{ELSEWHERE} cannot be the source: Cannot assign requested address"),
        (Source(transparent=True), AF_INET6, "127.0.0.1", "127.0.0.1 cannot be the source: the backend's address is"),
        (Source(transparent=True), AF_INET, "::1", "::1 cannot be the source: the backend's address is of another"),
        (Source(transparent=True), int(socket.AF_UNIX), "127.0.0.1", "the backend's address is of another family"),
    ],
)
def test_what_cannot_be_had_says_why(source: Source, family: int, host: str, why: str) -> None:
    with socket.socket(socket.AddressFamily(family)) as sock, pytest.raises(SourceError, match=why):
        source.take(sock, family, host)


def test_a_client_without_an_address_is_served_from_our_own() -> None:
    """It came by a UNIX socket."""
    source = Source(transparent=True, own={AF_INET: "127.0.0.7"})
    with socket.socket() as sock:
        source.take(sock, AF_INET, "")
        with socket.create_server(("127.0.0.1", 0)) as server:
            sock.connect(server.getsockname())
            assert sock.getsockname()[0] == "127.0.0.7"


@as_root
def test_an_ipv4_client_of_a_dual_stack_socket_is_an_ipv4_client() -> None:
    with socket.socket() as sock:
        Source(transparent=True).take(sock, AF_INET, f"::ffff:{ELSEWHERE}")
        assert sock.getsockname() == (ELSEWHERE, 0)  # and no port yet


@as_root
def test_a_port_that_is_asked_for_may_be_taken_twice() -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as first, socket.socket(type=socket.SOCK_DGRAM) as second:
        for sock in first, second:
            Source(transparent=True).take(sock, AF_INET, ELSEWHERE, 5353)
            assert sock.getsockname() == (ELSEWHERE, 5353)


def test_nothing_is_left_of_a_socket_without_its_source() -> None:
    backend = Backend(BackendSpec("127.0.0.1", 9), 0)
    backend.family, backend.sockaddr = socket.AF_INET, ("127.0.0.1", 9)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(SourceError) as refused:
        connected(backend, from_(ELSEWHERE))
    assert refused.value.errno == errno.EADDRNOTAVAIL
    assert os.listdir("/proc/self/fd") == before
