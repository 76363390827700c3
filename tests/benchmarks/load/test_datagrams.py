import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from benchmarks.load import datagrams
from benchmarks.net import Address


@contextmanager
def serving(answer: Callable[[bytes], bytes | None]) -> Iterator[tuple[Address, set[int]]]:
    """Answers every datagram, but those for which there is None; and the ports from which it was asked."""
    ports: set[int] = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        address = Address(*server.getsockname())

        def serve() -> None:
            while (asked := server.recvfrom(1000))[0]:
                ports.add(asked[1][1])
                data = answer(asked[0])
                if data is not None:
                    server.sendto(data, asked[1])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield address, ports
        finally:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ender:
                ender.sendto(b"", address)
            thread.join()


@pytest.mark.parametrize("clients", [1, 7])
def test_every_question_is_counted_and_timed(clients: int) -> None:
    asked: list[bytes] = []
    with serving(lambda data: asked.append(data) or data) as (address, ports):
        answers = datagrams.run(address, clients, lambda had: had < 100)
    assert len(set(asked)) == len(asked) == 99 + clients
    assert len(ports) == clients
    assert answers.rate > 0
    assert 0 < answers.p50 <= answers.p99


def test_each_question_may_come_from_a_port_of_its_own() -> None:
    with serving(lambda data: data) as (address, ports):
        datagrams.run(address, 5, lambda had: had < 100, once=True)
    assert len(ports) > 80  # the kernel may give a port out again


def test_the_answer_to_another_question_ends_the_run() -> None:
    asked: list[bytes] = []
    with (
        serving(lambda data: asked.append(data) or asked[0]) as (address, _),
        pytest.raises(ConnectionError, match="answered b"),
    ):
        datagrams.run(address, 2, lambda had: had < 10)


def test_a_lost_datagram_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "PATIENCE", 0.2)
    turns = iter(range(100))
    with (
        serving(lambda data: data if next(turns) != 20 else None) as (address, _),
        pytest.raises(ConnectionError, match="left 1 of"),
    ):
        datagrams.run(address, 2, lambda had: had < 50)


def test_used_sockets_have_addresses_of_their_own() -> None:
    with serving(lambda data: data) as (address, ports):
        used = [datagrams.used_socket(address, number) for number in (0, 1, 255, 256, 10_499)]
        assert [sock.getsockname()[0] for sock in used] == [
            "127.9.0.0",
            "127.9.0.1",
            "127.9.0.255",
            "127.9.1.0",
            "127.9.41.3",
        ]
        assert ports == {datagrams.PORT}
        for sock in used:
            sock.close()


def test_a_socket_that_gets_no_answer_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datagrams, "PATIENCE", 0.1)
    with serving(lambda _: None) as (address, _), pytest.raises(ConnectionError, match="unanswered"):
        datagrams.used_socket(address, 7)
