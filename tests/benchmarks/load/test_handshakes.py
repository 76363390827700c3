import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from benchmarks import certificate
from benchmarks.load import handshakes
from benchmarks.net import Address

OK = b"HTTP/1.1 200 OK\r\n\r\nok"
V1_2, V1_3 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
Seen = list[tuple[str | None, bool]]


def answer(sock: ssl.SSLSocket) -> None:
    sock.sendall(OK)
    sock.unwrap()


@contextmanager
def serving(
    directory: Path, talk: Callable[[ssl.SSLSocket], None] = answer, **options: object
) -> Iterator[tuple[Address, Seen]]:
    """A server of TLS that answers one request a connection; and the version of each, and whether it was resumed."""
    certificate.make(directory)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate.pair(directory))
    for name, value in options.items():
        setattr(context, name, value)
    seen: Seen = []
    done = threading.Event()

    def serve() -> None:
        while not done.is_set():
            with suppress(OSError), listener.accept()[0] as plain, context.wrap_socket(plain, server_side=True) as sock:
                if sock.recv(1000) == handshakes.REQUEST:
                    seen.append((sock.version(), bool(sock.session_reused)))
                    talk(sock)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = Address(*listener.getsockname())
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield address, seen
        finally:
            done.set()
            socket.create_connection(address).close()
            thread.join()


@pytest.mark.parametrize(("version", "name"), [(V1_2, "TLSv1.2"), (V1_3, "TLSv1.3")])
def test_every_connection_has_a_full_handshake(tmp_path: Path, version: ssl.TLSVersion, name: str) -> None:
    with serving(tmp_path) as (address, seen):
        assert handshakes.run(address, 7, 3, version=version, resumed=False) > 0
    assert seen == [(name, False)] * 7


@pytest.mark.parametrize(("version", "name"), [(V1_2, "TLSv1.2"), (V1_3, "TLSv1.3")])
def test_every_connection_but_the_first_is_resumed(tmp_path: Path, version: ssl.TLSVersion, name: str) -> None:
    """The first one gets the ticket, and is not counted."""
    with serving(tmp_path) as (address, seen):
        handshakes.run(address, 7, 3, version=version, resumed=True)
    assert seen == [(name, False)] + [(name, True)] * 7


def test_a_server_without_tickets_is_told(tmp_path: Path) -> None:
    with serving(tmp_path, num_tickets=0) as (address, _), pytest.raises(ConnectionError, match="gave no ticket"):
        handshakes.run(address, 7, 3, version=V1_3, resumed=True)


def test_a_handshake_that_is_not_resumed_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "_session", lambda *_: None)
    with serving(tmp_path) as (address, _), pytest.raises(ConnectionError, match="not resumed"):
        handshakes.run(address, 1, 1, version=V1_3, resumed=True)


def test_another_cipher_than_that_of_all_ends_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(handshakes.CIPHERS, V1_3, "TLS_AES_128_GCM_SHA256")
    with serving(tmp_path) as (address, _), pytest.raises(ConnectionError, match="not TLS_AES_128_GCM_SHA256"):
        handshakes.run(address, 1, 1, version=V1_3, resumed=False)


def test_a_wrong_answer_ends_the_run(tmp_path: Path) -> None:
    def refuse(sock: ssl.SSLSocket) -> None:
        sock.sendall(b"HTTP/1.1 502 Bad Gateway\r\n\r\nno")
        sock.unwrap()

    with serving(tmp_path, refuse) as (address, _), pytest.raises(ConnectionError, match="502"):
        handshakes.run(address, 1, 1, version=V1_3, resumed=False)


def test_an_answer_that_is_cut_off_ends_the_run(tmp_path: Path) -> None:
    """No close_notify: nobody knows whether that was all."""
    with (
        serving(tmp_path, lambda sock: sock.sendall(OK)) as (address, _),
        pytest.raises(ssl.SSLError, match=r"EOF|eof"),
    ):
        handshakes.run(address, 1, 1, version=V1_3, resumed=False)


def test_a_server_that_says_nothing_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(handshakes, "PATIENCE", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as silent, pytest.raises(ConnectionError, match="left 3 of 3"):
        handshakes.run(Address(*silent.getsockname()), 7, 3, version=V1_3, resumed=False)
