"""From what the server says of a container to a backend."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.backend import BackendSpec
from discovery.daemon.validated import validated
from discovery.lxd.containers import Container, NoAddressError, backend_of, is_wanted
from discovery.lxd.options import LxdOptions

ADDRESSES = (
    ("inet", "169.254.0.1", "link"),
    ("inet", "10.0.0.1", "global"),
    ("inet", "10.0.0.2", "global"),
    ("inet6", "fe80::1", "link"),
    ("inet6", "fd00::1", "global"),
)


def entry(
    *addresses: tuple[str, str, str], status: str = "Running", interface: str = "eth0", **other: Any
) -> dict[str, Any]:
    found = [{"family": family, "address": address, "scope": scope} for family, address, scope in addresses]
    loopback = {"addresses": [{"family": "inet", "address": "127.0.0.1", "scope": "local"}]}
    network = {"lo": loopback, interface: {"addresses": found}}
    return {"name": "web1", "status": status, "config": {}, "state": {"network": network}} | other


def options(**keys: Any) -> LxdOptions:
    return LxdOptions.model_validate({"lxd_server_address": "unix:///s", "lxd_container_port": 80} | keys)


def backend(found: dict[str, Any], **keys: Any) -> BackendSpec:
    return backend_of(validated(Container, found), options(**keys))


def test_the_first_global_address_of_the_interface_is_the_backends() -> None:
    assert backend(entry(*ADDRESSES)).address == "10.0.0.1:80"
    assert backend(entry(*ADDRESSES), lxd_container_address_type="IPv6").address == "[fd00::1]:80"
    assert backend(entry(*ADDRESSES, interface="eth1"), lxd_container_interface="eth1").address == "10.0.0.1:80"


def test_settings_of_the_container_say_port_interface_sni_and_proxy_header() -> None:
    config = {"user.port": "8080", "user.interface": "eth1", "user.sni": "a.example", "user.proxy": "2"}
    keys = {
        "lxd_container_port_key": "user.port",
        "lxd_container_interface_key": "user.interface",
        "lxd_container_sni_key": "user.sni",
        "lxd_container_proxy_protocol_key": "user.proxy",
    }
    assert backend(entry(*ADDRESSES, interface="eth1", config=config), **keys) == BackendSpec(
        "10.0.0.1", 8080, sni="a.example", proxy_protocol="2"
    )
    assert backend(entry(*ADDRESSES), **keys) == BackendSpec("10.0.0.1", 80)


def test_settings_of_a_profile_count_too() -> None:
    found = entry(*ADDRESSES, expanded_config={"user.port": "8080"})
    assert backend(found, lxd_container_port_key="user.port").port == 8080


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, [True, False, False]),
        ({"user.label": "web"}, [True, True, True]),
        ({"user.label": "db"}, [True, True, False]),
        ({"user.label": ""}, [True, False, False]),
    ],
)
def test_only_containers_with_the_label_are_wanted(config: dict[str, str], wanted: list[bool]) -> None:
    keys: list[dict[str, str]] = [{}, {"lxd_container_label_key": "user.label"}]
    keys.append(keys[1] | {"lxd_container_label_value": "web"})
    found = validated(Container, entry(config=config))
    assert [is_wanted(found, options(**one)) for one in keys] == wanted


@pytest.mark.parametrize("status", ["Stopped", "Frozen", "Error", "Starting"])
def test_a_container_that_does_not_run_is_an_error(status: str) -> None:
    with pytest.raises(ValueError, match=f"is not running but '{status.lower()}'"):
        backend(entry(*ADDRESSES, status=status))


def test_a_container_without_a_port_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"has no user\.port"):
        backend(entry(*ADDRESSES), lxd_container_port=0, lxd_container_port_key="user.port")
    with pytest.raises(ValueError, match="port 'http' is not a whole number"):
        backend(entry(*ADDRESSES, config={"user.port": "http"}), lxd_container_port_key="user.port")


@pytest.mark.parametrize(
    "found",
    [
        entry(),
        entry(*ADDRESSES, interface="eth1"),
        entry(("inet6", "fd00::1", "global"), ("inet", "169.254.0.1", "link")),
        entry(state=None),
        entry(state={"network": None}),
        entry(state={"network": {"eth0": {"addresses": None}}}),
    ],
)
def test_a_container_without_such_an_address_is_an_error_of_its_own(found: dict[str, Any]) -> None:
    with pytest.raises(NoAddressError, match="has no IPv4 address on eth0"):
        backend(found)


@pytest.mark.parametrize(
    ("found", "error"),
    [
        (None, "it: "),
        ({"status": "Running"}, "name: Field required"),
        (entry(config={"a": 1}), r"config\.a: "),
        (entry(state={"network": {"eth0": {"addresses": [{}]}}}), r"state\.network\.eth0\.addresses\.0\.family: "),
    ],
)
def test_what_is_not_as_the_api_says_is_named(found: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        validated(Container, found)


_TEXT = st.text(max_size=20)
_ADDRESS = st.fixed_dictionaries(
    {
        "family": st.sampled_from(["inet", "inet6", "x"]),
        "address": st.sampled_from(["10.0.0.1", "fd00::1"]) | _TEXT,
        "scope": st.sampled_from(["global", "link"]),
    }
)
_ENTRY = st.fixed_dictionaries(
    {"name": _TEXT, "status": st.sampled_from(["Running", "Stopped"]) | _TEXT},
    optional={
        "config": st.dictionaries(st.sampled_from(["user.port", "user.sni", "user.interface"]), _TEXT),
        "state": st.none()
        | st.fixed_dictionaries({"network": st.fixed_dictionaries({"eth0": st.just({"addresses": [1]}) | _TEXT})})
        | st.fixed_dictionaries(
            {"network": st.fixed_dictionaries({"eth0": st.fixed_dictionaries({"addresses": st.lists(_ADDRESS)})})}
        ),
    },
)


@given(_ENTRY)
def test_any_entry_makes_a_good_backend_or_a_value_error(found: Any) -> None:
    try:
        spec = backend(found, lxd_container_port_key="user.port", lxd_container_sni_key="user.sni")
    except ValueError:
        return
    assert spec.host
    assert 1 <= spec.port <= 65535
