"""Keys of lxd that are wrong or do not go together."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from discovery.daemon.endpoint import Endpoint
from discovery.lxd.options import LxdOptions


def options(**keys: Any) -> LxdOptions:
    needed = {"lxd_server_address": "unix:///run/unix.socket", "lxd_container_port": 80}
    return LxdOptions.model_validate(needed | keys)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"lxd_server_address": "http://h"}, "lxd_server_address"),
        ({"lxd_server_address": "https://user:secret@h"}, "more than host and port"),
        ({"lxd_container_port": 0}, "must say where the containers listen"),
        ({"lxd_container_port": 65536}, "less than or equal to 65535"),
        ({"lxd_container_label_value": "web"}, "needs lxd_container_label_key"),
        ({"lxd_container_address_type": "ipv4"}, "IPv4"),
        ({"lxd_server_remote_name": "../x"}, "no name of a file"),
        ({"lxd_server_remote_name": ".."}, "no name of a file"),
        ({"lxd_container_prot": 1}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_an_error_of_the_config(keys: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error) as raised:
        options(**keys)
    assert "secret" not in raised.value.errors(include_input=False)[0]["msg"]


def test_the_address_is_required() -> None:
    with pytest.raises(ValidationError, match="lxd_server_address\n  Field required"):
        LxdOptions.model_validate({"lxd_container_port": 80})


def test_a_port_key_may_stand_alone() -> None:
    assert options(lxd_container_port=0, lxd_container_port_key="user.port").lxd_container_port == 0


def test_the_port_is_lxds_where_the_address_has_none() -> None:
    assert options(lxd_server_address="https://h").endpoint == Endpoint("", "h", 8443, secure=True)


def test_the_config_directory_may_name_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/h")
    monkeypatch.setenv("HERE", "/w")
    assert options().folder == Path("/h/.config/lxc")
    assert options(lxd_config_directory="~/lxc").folder == Path("/h/lxc")
    assert options(lxd_config_directory="${HERE}/lxc").folder == Path("/w/lxc")


def test_the_password_is_not_shown() -> None:
    assert "secret" not in repr(options(lxd_server_remote_password="secret"))
