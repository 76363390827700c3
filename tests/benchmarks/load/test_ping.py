import socket

import pytest

from benchmarks.load import ping
from tests.benchmarks.load.loopback import serving


def test_every_ping_is_counted_and_timed() -> None:
    def answer(connection: socket.socket) -> None:
        while connection.recv(64) == ping.PING:
            connection.sendall(ping.PONG)

    with serving(answer) as address:
        pings = ping.run(address, lambda sent: sent < 200)
    assert pings.rate > 0
    assert 0 < pings.p50 <= pings.p99


def test_another_answer_than_pong_ends_the_run() -> None:
    def refuse(connection: socket.socket) -> None:
        connection.recv(64)
        connection.sendall(b"-ERR max number of clients reached\r\n")

    with serving(refuse) as address, pytest.raises(ConnectionError, match="max number of clients"):
        ping.run(address, lambda sent: sent < 1)


@pytest.mark.parametrize(("percent", "value"), [(1, 10), (20, 10), (21, 20), (50, 30), (99, 50), (100, 50)])
def test_a_percentile_is_the_least_value_that_so_many_do_not_exceed(percent: float, value: float) -> None:
    assert ping.percentile([10, 20, 30, 40, 50], percent) == value
