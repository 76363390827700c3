import os
import socket
from pathlib import Path

import pytest

from gobetween_py.bind import BindError, listen, listen_on, listen_unix
from gobetween_py.config import Bind


def test_an_address_is_bound_and_listens():
    with listen("127.0.0.1", 0) as sock, socket.create_connection(sock.getsockname()):
        assert sock.family == socket.AF_INET


def test_no_host_is_every_address_of_both_families():
    with listen("", 0) as sock:
        port = sock.getsockname()[1]
        for address in ("127.0.0.1", "::1"):
            socket.create_connection((address, port)).close()


def test_an_ipv6_address_leaves_the_ipv4_port_alone():
    with listen("::1", 0) as v6:
        port = v6.getsockname()[1]
        listen("127.0.0.1", port).close()


def test_a_port_in_use_names_it_and_the_remedy():
    with listen("127.0.0.1", 0) as sock:
        port = sock.getsockname()[1]
        with pytest.raises(
            BindError, match=rf"127.0.0.1:{port}: the port is in use: stop the program .* or take another"
        ):
            listen("127.0.0.1", port)


def test_an_address_of_another_machine_names_the_remedy():
    with pytest.raises(BindError, match=r"no interface of this machine has the address 192.0.2.1"):
        listen("192.0.2.1", 8080)


def test_a_name_without_address_is_told():
    with pytest.raises(BindError, match=r"the name 'nowhere.invalid' has no address"):
        listen("nowhere.invalid", 8080)


def test_a_unix_socket_left_behind_is_replaced(tmp_path: Path):
    path = str(tmp_path / "socket")
    listen_unix(path).close()
    assert os.path.exists(path)
    with listen_unix(path), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)


def test_a_unix_socket_in_use_is_left_alone(tmp_path: Path):
    path = str(tmp_path / "socket")
    with listen_unix(path):
        with pytest.raises(BindError, match="it is in use"):
            listen_unix(path)
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(path)


def test_a_file_in_the_way_is_not_removed(tmp_path: Path):
    path = tmp_path / "precious"
    path.write_text("data")
    with pytest.raises(BindError, match="something that is no socket is there: choose another path"):
        listen_unix(str(path))
    assert path.read_text() == "data"


def test_a_missing_directory_is_told(tmp_path: Path):
    with pytest.raises(BindError, match="make the directory"):
        listen_unix(str(tmp_path / "missing" / "socket"))


def test_every_form_of_a_bind_can_be_listened_on(tmp_path: Path):
    for text in ("127.0.0.1:0", ":0", "[::1]:0", f"unix:{tmp_path}/socket"):
        with listen_on(Bind.parse(text)) as sock, socket.socket(sock.family) as client:
            client.connect(sock.getsockname())


@pytest.mark.parametrize(("before", "after"), [("", "127.0.0.1"), ("127.0.0.1", ""), ("0.0.0.0", "127.0.0.1")])
def test_a_wider_or_narrower_address_is_bound_before_the_old_one_is_closed(before: str, after: str):
    """Both listen meanwhile, so that no client is refused; later nobody else gets the port."""
    old = listen(before, 0)
    port = old.getsockname()[1]
    with pytest.raises(BindError, match="the port is in use"):
        listen_on(Bind(after, port))
    with listen_on(Bind(after, port), instead_of=[old]) as new:
        socket.create_connection(("127.0.0.1", port)).close()
        with pytest.raises(BindError, match="the port is in use"):
            listen_on(Bind(after, port))
        old.close()
        with socket.create_connection(("127.0.0.1", port)):
            new.settimeout(5)
            new.accept()[0].close()


def test_a_port_of_somebody_else_is_in_use_whatever_is_about_to_be_closed():
    with listen("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        with listen("127.0.0.2", port) as ours, pytest.raises(BindError, match="the port is in use"):
            listen_on(Bind("127.0.0.1", port), instead_of=[ours])


def test_a_udp_port_in_use_names_it_and_the_remedy():
    """Also where the other one is bound as ours are: two servers must not share an address by accident."""
    with listen("127.0.0.1", 0, transport="udp") as sock:
        port = sock.getsockname()[1]
        with pytest.raises(BindError, match=rf"127.0.0.1:{port}: the port is in use: .* \(ss -lunp"):
            listen("127.0.0.1", port, transport="udp")


def test_every_form_of_a_bind_can_be_bound_for_udp():
    for text in ("127.0.0.1:0", ":0", "[::1]:0"):
        with listen_on(Bind.parse(text), transport="udp") as sock, socket.socket(sock.family, sock.type) as client:
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(sock.getsockname()[0], sock.getsockname()[0])
            client.sendto(b"data", (host, sock.getsockname()[1]))
            sock.settimeout(5)
            assert sock.recv(10) == b"data"


@pytest.mark.parametrize(("before", "after"), [("127.0.0.1", ""), ("", "127.0.0.1")])
def test_a_udp_socket_can_be_bound_beside_one_that_is_about_to_be_closed(before: str, after: str):
    old = listen(before, 0, transport="udp")
    port = old.getsockname()[1]
    with pytest.raises(BindError):
        listen_on(Bind(after, port), transport="udp")
    with listen_on(Bind(after, port), transport="udp", instead_of=[old]) as new:
        old.close()
        with pytest.raises(BindError, match="in use"):
            listen_on(Bind(after, port), transport="udp")
        assert new.getsockname()[1] == port
