import socket
import threading

import pytest

from benchmarks.net import Address, Datagram, parse_address, wait_for_answer
from tests.benchmarks.load.loopback import serving


def test_an_address_reads_back() -> None:
    assert parse_address(str(Address("127.0.0.1", 80))) == Address("127.0.0.1", 80)


@pytest.mark.parametrize("text", ["", "127.0.0.1", "127.0.0.1:", ":80", "127.0.0.1:http", "127.0.0.1:0", "h:65536"])
def test_what_is_no_address_is_named(text: str) -> None:
    with pytest.raises(ValueError, match=f"{text!r} is not host:port"):
        parse_address(text)


def test_a_server_that_answers_is_ready() -> None:
    with serving(lambda connection: connection.sendall(connection.recv(4))) as address:
        assert wait_for_answer(address, b"PING", alive=lambda: True) == ""


def test_a_server_of_datagrams_is_asked_by_one() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(5)

        def answer() -> None:
            data, client = server.recvfrom(100)
            server.sendto(data, client)

        thread = threading.Thread(target=answer)
        thread.start()
        assert wait_for_answer(Address(*server.getsockname()), Datagram(b"?"), alive=lambda: True) == ""
        thread.join()


def test_accepting_alone_is_not_being_ready() -> None:
    """A proxy without a backend accepts, and closes."""
    with serving(lambda connection: None) as address:
        tries = iter([True, False, False])
        assert wait_for_answer(address, b"PING", alive=lambda: next(tries)) == "the program ended"


def test_what_was_wrong_at_last_is_said() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # not listening
        address = Address(*bound.getsockname())
        assert "refused" in wait_for_answer(address, b"", alive=lambda: True, seconds=0.1)
