import asyncio
import socket

import pytest

from balancer import TOTAL, TX
from gobetween_py.bind import listen, listen_on
from gobetween_py.config import Bind
from gobetween_py.proxy.settings import Datagrams, Settings
from gobetween_py.proxy.udp import listener as module
from gobetween_py.proxy.udp.listener import UdpListener
from tests.gobetween_py.proxy.udp.rig import UdpRig


@pytest.mark.parametrize(
    ("host", "asked"),
    [
        ("", "127.0.0.1"),
        ("", "127.0.0.2"),
        ("", "127.3.2.1"),
        ("", "::1"),
        ("0.0.0.0", "127.0.0.1"),
        ("0.0.0.0", "127.3.2.1"),
    ],
)
async def test_the_answer_comes_from_the_address_that_was_asked(host: str, asked: str):
    """A connected client gets no datagram of another address."""
    async with UdpRig(host=host) as rig:
        client = rig.client(to=(asked, rig.address[1]))
        for number in range(3):
            assert await rig.ask(client, b"%d" % number) == b"re: %d" % number
        assert len(rig.listener.connections) == 1


async def test_a_client_that_asks_two_addresses_has_two_sessions():
    async with UdpRig(backends=2, host="") as rig:
        with rig.bound() as client:
            for number, asked in enumerate(("127.0.0.1", "127.0.0.2")):
                where = (asked, rig.address[1])
                client.sendto(b"question", where)
                data, peer = await rig.take(rig.backends[number])
                rig.backends[number].sendto(b"re: " + data, peer)
                assert await rig.take(client) == (b"re: question", where)


async def test_an_ipv4_client_of_all_addresses_is_known_as_one():
    async with UdpRig(host="") as rig:
        client = rig.client(to=("127.0.0.1", rig.address[1]))
        await rig.ask(client, b"1")
        (flow,) = rig.listener.connections
        assert (flow.host, flow.port) == ("::ffff:127.0.0.1", client.getsockname()[1])


async def test_when_taking_stops_sessions_go_on_and_strangers_are_not_heard():
    async with UdpRig() as rig:
        known, stranger = rig.client(), rig.client()
        await rig.ask(known, b"1")
        rig.listener.stop_accepting()
        stranger.send(b"too late")
        assert await rig.silent(rig.backends[0])
        assert await rig.ask(known, b"2") == b"re: 2"
        assert rig.listener.close_connections() == 1
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as next_one:
            next_one.bind(rig.address)  # the port is free


@pytest.mark.parametrize("unanswered", [False, True], ids=["sessions", "fire-and-forget"])
async def test_what_waits_when_taking_stops_is_not_lost(unanswered: bool):
    settings = Settings(client_idle_timeout=60, datagrams=Datagrams(max_requests=int(unanswered)))
    async with UdpRig(settings=settings) as rig:
        for number in range(100):
            rig.client().send(b"%d" % number)
        rig.listener.stop_accepting()
        assert [await rig.receive(rig.backends[0]) for _ in range(100)] == [b"%d" % number for number in range(100)]


async def test_without_sessions_the_port_is_free_at_once():
    async with UdpRig() as rig:
        rig.listener.stop_accepting()
        listen(*rig.address, transport="udp").close()


async def test_a_moved_server_answers_old_sessions_where_they_asked(monkeypatch: pytest.MonkeyPatch):
    """The address before takes strangers for a moment, and is free once its last session has ended."""
    monkeypatch.setattr(module, "GRACE", 0.05)
    async with UdpRig() as rig:
        known, before = rig.client(), rig.address
        await rig.ask(known, b"1")
        sock = listen("127.0.0.1", 0, transport="udp")
        fresh = sock.getsockname()
        rig.listener.move(sock)
        late = rig.client()
        assert await rig.ask(late, b"late") == b"re: late"
        assert await rig.ask(rig.client(to=fresh), b"new") == b"re: new"
        await rig.until(lambda: not all(entrance._open for entrance in rig.listener._entrances.values()))
        rig.client().send(b"too late")
        assert await rig.silent(rig.backends[0])
        for client in (known, late):
            assert await rig.ask(client, b"2") == b"re: 2"
        assert len(rig.listener._entrances) == 2
        rig.listener.close_connections()
        assert [*rig.listener._entrances] == [sock]
        listen(*before, transport="udp").close()


async def test_a_socket_handed_over_is_the_other_servers_while_old_sessions_bring_their_answers():
    async with UdpRig() as rig:
        known = rig.client()
        known.send(b"1")
        data, peer = await rig.take(rig.backends[0])
        (sock,) = rig.listener._entrances
        given = sock.dup()
        rig.listener.hand_over(sock)
        other = UdpListener("other", given, rig.reactor, rig.pool, rig.counters)
        rig.backends[0].sendto(b"re: " + data, peer)
        assert await rig.receive(known) == b"re: 1"
        assert await rig.ask(known, b"2") == b"re: 2"
        assert len(other.connections) == 1
        assert sock.fileno() >= 0
        rig.listener.close_connections()
        assert sock.fileno() < 0
        assert await rig.ask(known, b"3") == b"re: 3"
        other.stop_accepting()
        other.close_connections()


async def test_what_waits_in_a_socket_handed_over_is_not_lost():
    async with UdpRig() as rig:
        (sock,) = rig.listener._entrances
        given = sock.dup()
        rig.listener.hand_over(sock)
        assert sock.fileno() < 0
        client = rig.client()
        client.send(b"waiting")
        other = UdpListener("other", given, rig.reactor, rig.pool, rig.counters)
        assert await rig.receive(rig.backends[0]) == b"waiting"
        other.stop_accepting()
        other.close_connections()


async def test_an_address_within_all_addresses_can_be_taken_over_meanwhile():
    """As a reload does that moves a server from 127.0.0.1:53 to :53: the more precise one gets its datagrams."""
    async with UdpRig() as rig:
        (narrow,) = rig.listener._entrances
        client = rig.client()
        await rig.ask(client, b"1")
        wide = listen_on(Bind("", rig.address[1]), transport="udp", instead_of=[narrow])
        rig.listener.move(wide)
        assert await rig.ask(client, b"2") == b"re: 2"
        other = rig.client(to=("127.0.0.2", rig.address[1]))
        assert await rig.ask(other, b"3") == b"re: 3"
        assert rig.count(TOTAL) == [2]


@pytest.mark.parametrize("wide", ["", "0.0.0.0"])
async def test_an_address_within_the_new_ones_is_heard_until_its_last_session_has_ended(
    wide: str, monkeypatch: pytest.MonkeyPatch
):
    """What is sent to it comes to the more precise socket for as long as that is bound."""
    monkeypatch.setattr(module, "GRACE", 0.05)
    async with UdpRig() as rig:
        (narrow,) = rig.listener._entrances
        known = rig.client()
        await rig.ask(known, b"1")
        rig.listener.move(listen_on(Bind(wide, rig.address[1]), transport="udp", instead_of=[narrow]))
        await asyncio.sleep(0.2)
        stranger = rig.client()
        assert await rig.ask(stranger, b"2") == b"re: 2"
        assert await rig.ask(known, b"3") == b"re: 3"
        assert rig.count(TOTAL) == [2]
        rig.listener.close_connections()
        await rig.until(lambda: narrow.fileno() < 0)
        assert await rig.ask(stranger, b"4") == b"re: 4"


async def test_the_same_address_written_otherwise_is_heard_whichever_socket_gets_it(monkeypatch: pytest.MonkeyPatch):
    """As a config names it that changes 127.0.0.1 to localhost."""
    monkeypatch.setattr(module, "GRACE", 0.05)
    async with UdpRig() as rig:
        (before,) = rig.listener._entrances
        await rig.ask(rig.client(), b"1")
        rig.listener.move(listen_on(Bind(*rig.address), transport="udp", instead_of=[before]))
        await asyncio.sleep(0.2)
        for _ in range(20):
            assert await rig.ask(rig.client(), b"2") == b"re: 2"
        assert before.fileno() >= 0


async def test_what_comes_while_a_narrower_address_closes_gets_to_the_wider_one():
    """And what came before is not lost."""
    async with UdpRig() as rig:
        ((narrow, receiver),) = rig.listener._entrances.items()
        rig.listener.move(listen_on(Bind("", rig.address[1]), transport="udp", instead_of=[narrow]))
        early = rig.client()
        early.send(b"early")
        receiver.divert()
        late = rig.client()
        late.send(b"late")
        receiver.close()
        for _ in range(2):
            data, peer = await rig.take(rig.backends[0])
            rig.backends[0].sendto(b"re: " + data, peer)
        assert await rig.receive(early) == b"re: early"
        assert await rig.receive(late) == b"re: late"
        assert await rig.ask(early, b"again") == b"re: again"


async def test_an_address_beside_the_new_one_is_not_heard_for_longer(monkeypatch: pytest.MonkeyPatch):
    """Of the same port, but only IPv6."""
    monkeypatch.setattr(module, "GRACE", 0.05)
    async with UdpRig() as rig:
        known = rig.client()
        await rig.ask(known, b"1")
        rig.listener.move(listen("::", rig.address[1], transport="udp"))
        await asyncio.sleep(0.2)
        rig.client().send(b"too late")
        assert await rig.silent(rig.backends[0])
        assert await rig.ask(known, b"2") == b"re: 2"


async def test_a_flood_of_one_client_keeps_the_others_waiting_for_a_burst_at_most():
    """Level-triggered: what is left over comes with the next event, and nothing is lost."""
    async with UdpRig() as rig:
        flood, other = rig.client(), rig.client()
        await rig.ask(other, b"1")
        for number in range(200):
            flood.send(b"%d" % number)
        other.send(b"me too")
        got = [await rig.receive(rig.backends[0]) for _ in range(201)]
        assert [data for data in got if data != b"me too"] == [b"%d" % number for number in range(200)]


async def test_what_finds_the_queue_full_is_counted():
    """Over a move too: each socket's own losses are added up."""
    async with UdpRig() as rig:
        sent = 0
        for _ in range(2):
            client = rig.client(to=[*rig.listener._entrances][-1].getsockname())
            for _ in range(200):  # 13 MB, before the loop gets its turn
                client.send(bytes(65_000))
            sent += 200
            rig.listener.move(listen("127.0.0.1", 0, transport="udp"))
            await rig.until(lambda sent=sent: sum(rig.count(TX)) // 65_000 + rig.listener.lost == sent)  # type: ignore[misc]
        lost = rig.listener.lost
        assert 0 < lost < sent
        rig.listener.stop_accepting()
        rig.listener.close_connections()
        assert rig.listener.lost == rig.listener.dropped == lost


async def test_many_datagrams_are_taken_at_one_event():
    async with UdpRig() as rig:
        client = rig.client()
        await rig.ask(client, b"1")
        for _ in range(60):
            client.send(b"2")
        before = rig.reactor.batches
        for _ in range(60):
            await rig.receive(rig.backends[0])
        assert rig.reactor.batches - before < 10
