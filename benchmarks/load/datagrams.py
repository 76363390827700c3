"""Datagrams to something that sends them back: each client has one under way, and every answer must be right."""

import select
import socket
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.load.ping import percentile
from benchmarks.net import Address

SIZE = 40  # bytes of a question; DNS queries are about as long
PORT = 1053  # of used sockets
PATIENCE = 2.0  # seconds until a question counts as lost


@dataclass(frozen=True, slots=True)
class Answers:
    """Questions answered per second, and percentiles of the round trip in microseconds."""

    rate: float
    p50: float
    p99: float


def run(address: Address, clients: int, go_on: Callable[[int], bool], *, once: bool = False) -> Answers:
    """Asks while `go_on(number of answers so far)` holds.

    Args:
        clients: sockets, each with one question under way.
        once: a socket for each question, so that each comes from a port of its own.

    Raises:
        ConnectionError: a question was not answered, or another one was.
    """
    poller = select.epoll()
    asking: dict[int, tuple[socket.socket, bytes, int]] = {}
    nanoseconds = array("q")
    clock = time.perf_counter_ns
    number = 0

    def ask(client: socket.socket) -> None:
        nonlocal number
        number += 1
        question = number.to_bytes(SIZE, "big")
        asking[client.fileno()] = client, question, clock()
        client.send(question)

    try:
        for _ in range(clients):
            ask(_opened(address, poller))
        started = clock()
        while asking:
            events = poller.poll(PATIENCE)
            if not events:
                raise ConnectionError(f"{address} left {len(asking)} of {number} datagrams unanswered")
            for fd, _ in events:
                client, question, sent = asking.pop(fd)
                answer = client.recv(2 * SIZE)
                nanoseconds.append(clock() - sent)
                if answer != question:
                    raise ConnectionError(f"{address} answered {question!r} with {answer!r}")
                if not go_on(len(nanoseconds)):
                    client.close()
                elif once:
                    client.close()
                    ask(_opened(address, poller))
                else:
                    ask(client)
        seconds = (clock() - started) / 1e9
    finally:
        for client, _, _ in asking.values():
            client.close()
        poller.close()
    ranked = sorted(nanoseconds)
    return Answers(len(ranked) / seconds, percentile(ranked, 50) / 1e3, percentile(ranked, 99) / 1e3)


def used_socket(address: Address, number: int) -> socket.socket:
    """A socket that has had an answer, with a loopback address of its own for each number: below 65,536.

    All have the same port, so that the ports that the kernel gives away are left to the proxy's sessions.

    Raises:
        ConnectionError: no answer came, or another one.
    """
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        client.bind((f"127.9.{number >> 8}.{number & 255}", PORT))
        client.connect(address)
        client.settimeout(PATIENCE)
        question = number.to_bytes(SIZE, "big")
        client.send(question)
        if client.recv(2 * SIZE) != question:
            raise ConnectionError(f"{address} answered wrongly")
    except TimeoutError:
        client.close()
        raise ConnectionError(f"{address} left a datagram unanswered") from None
    except OSError:
        client.close()
        raise
    return client


def _opened(address: Address, poller: select.epoll) -> socket.socket:
    client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    client.connect(address)
    poller.register(client, select.EPOLLIN)
    return client
