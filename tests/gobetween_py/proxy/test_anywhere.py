import os
from pathlib import Path

import pytest

from gobetween_py.bind import listen, listen_on, listen_unix
from gobetween_py.config import Bind
from gobetween_py.proxy.anywhere import includes, is_anywhere
from tests.services.ports import free_port


@pytest.mark.parametrize(
    ("wider", "narrower", "included"),
    [
        ("", "127.0.0.1", True),
        ("", "::1", True),
        ("", "0.0.0.0", True),
        ("0.0.0.0", "127.0.0.1", True),
        ("::", "::1", True),
        ("::", "127.0.0.1", False),
        ("0.0.0.0", "::1", False),
        ("127.0.0.2", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1", True),
    ],
)
def test_an_address_is_within_all_addresses_of_its_family(wider: str, narrower: str, included: bool):
    port = free_port()
    with (
        listen(narrower, port) as before,
        listen_on(Bind(wider, port), instead_of=[before]) as now,
    ):
        assert includes(now, before) is included


def test_another_port_is_not_included():
    with listen("", free_port()) as everywhere, listen("127.0.0.1", free_port()) as sock:
        assert not includes(everywhere, sock)


def test_a_unix_socket_is_apart(tmp_path: Path):
    with listen_unix(os.fspath(tmp_path / "socket")) as unix, listen("", free_port()) as everywhere:
        assert is_anywhere(everywhere)
        assert not is_anywhere(unix)
        assert not includes(everywhere, unix)
        assert not includes(unix, everywhere)
