"""From what the engine says of a container to backends."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from balancer.backend import BackendSpec
from discovery.daemon.validated import validated
from discovery.docker.containers import Container, backends_of
from discovery.docker.options import DockerOptions


def backends(
    *ports: tuple[str, int, int],
    labels: dict[str, str] | None = None,
    networks: dict[str, dict[str, str]] | None = None,
    host: str = "",
    endpoint: str = "unix:///run/docker.sock",
    **keys: Any,
) -> list[BackendSpec]:
    """Of a container that publishes these (address, private port, public port)."""
    entry = {
        "Id": "0123456789abcdef",
        "Names": ["/web"],
        "Labels": labels,
        "Ports": [{"IP": ip, "PrivatePort": inside, "PublicPort": outside} for ip, inside, outside in ports],
        "NetworkSettings": {"Networks": networks},
    }
    options = {"docker_endpoint": endpoint, "docker_container_private_port": 80} | keys
    return backends_of(validated(Container, entry), DockerOptions.model_validate(options), host)


def addresses(*ports: tuple[str, int, int], **keys: Any) -> list[str]:
    return [spec.address for spec in backends(*ports, **keys)]


def test_each_address_that_publishes_the_private_port_is_a_backend() -> None:
    published = ("10.0.0.1", 80, 8080), ("fd00::1", 80, 8081), ("10.0.0.2", 81, 8082)
    assert addresses(*published) == ["10.0.0.1:8080", "[fd00::1]:8081"]


@pytest.mark.parametrize(
    ("endpoint", "host", "address"),
    [
        ("unix:///run/docker.sock", "", "127.0.0.1:4"),
        ("http://10.0.0.9:2375", "", "10.0.0.9:4"),
        ("http://[fd00::9]:2375", "", "[fd00::9]:6"),
        ("http://docker.example", "", "docker.example:4"),
        ("http://10.0.0.9:2375", "web.example", "web.example:4"),
        ("http://10.0.0.9:2375", "fd00::5", "[fd00::5]:6"),
    ],
)
def test_published_on_all_addresses_counts_once_in_the_family_of_the_host(
    endpoint: str, host: str, address: str
) -> None:
    """The engine publishes an unspecified port for IPv4 and for IPv6 separately, mostly on different ports."""
    assert addresses(("0.0.0.0", 80, 4), ("::", 80, 6), endpoint=endpoint, host=host) == [address]


def test_published_on_all_addresses_of_one_family_is_used_whatever_the_endpoint() -> None:
    assert addresses(("::", 80, 6)) == ["[::1]:6"]
    assert addresses(("::", 80, 6), endpoint="http://10.0.0.9") == ["10.0.0.9:6"]
    assert addresses(("", 80, 4)) == ["127.0.0.1:4"]


def test_the_host_of_the_environment_counts_before_the_addresses() -> None:
    assert addresses(("10.0.0.1", 80, 1), ("0.0.0.0", 80, 2), host="h") == ["h:1", "h:2"]


def test_without_a_published_port_there_is_no_backend_and_a_labelled_container_was_meant_to_have_one() -> None:
    assert addresses(("", 80, 0), ("", 81, 8081)) == []
    with pytest.raises(ValueError, match="does not publish port 80"):
        addresses(("", 80, 0), docker_container_label="proxied=true")


def test_in_a_network_the_containers_own_address_and_port_count() -> None:
    both = {"IPAddress": "172.18.0.2", "GlobalIPv6Address": "fd00::2"}
    networks = {"front": both, "six": {"IPAddress": "", "GlobalIPv6Address": "fd00::3"}, "host": {"IPAddress": ""}}
    assert addresses(networks=networks, docker_container_network="front") == ["172.18.0.2:80"]
    assert addresses(networks=networks, docker_container_network="six") == ["[fd00::3]:80"]
    for name, error in {"host": "has no address in the network 'host'", "x": "is not in the network 'x'"}.items():
        with pytest.raises(ValueError, match=error):
            addresses(networks=networks, docker_container_network=name)


def test_labels_say_weight_priority_connections_and_sni() -> None:
    labels = {"weight": "5", "priority": "2", "max_connections": "9", "sni": "a.example", "other": "x"}
    (spec,) = backends(("10.0.0.1", 80, 1), labels=labels)
    assert spec == BackendSpec("10.0.0.1", 1, weight=5, priority=2, max_connections=9, sni="a.example")


@pytest.mark.parametrize("labels", [{"weight": "heavy"}, {"priority": "-1"}, {"max_connections": ""}])
def test_a_label_with_a_bad_value_is_an_error(labels: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(labels))} .* is not a whole number"):
        backends(("10.0.0.1", 80, 1), labels=labels)


@pytest.mark.parametrize(
    ("entry", "error"),
    [
        (None, "it: "),
        ([], "it: "),
        ({}, "Id: Field required"),
        ({"Id": "x", "Ports": [{"PrivatePort": "http"}]}, r"Ports\.0\.PrivatePort: "),
        ({"Id": "x", "Labels": {"a": {}}}, r"Labels\.a: "),
        ({"Id": "x", "NetworkSettings": 1}, "NetworkSettings: "),
    ],
)
def test_what_is_not_as_the_api_says_is_named(entry: Any, error: str) -> None:
    with pytest.raises(ValueError, match=error):
        validated(Container, entry)


def test_a_container_without_a_name_is_called_by_its_id() -> None:
    assert validated(Container, {"Id": "0123456789abcdef"}).name == "0123456789ab"


_TEXT = st.text(max_size=20)
_ADDRESS = st.sampled_from(["", "0.0.0.0", "::", "10.0.0.1", "fd00::1"]) | _TEXT
_PORT = st.integers(-1, 70000) | st.sampled_from([0, 80, "80", None])
_ENTRY = st.fixed_dictionaries(
    {"Id": _TEXT},
    optional={
        "Names": st.lists(_TEXT) | st.none(),
        "Labels": st.dictionaries(st.sampled_from(["weight", "sni", "priority", "max_connections"]), _TEXT) | st.none(),
        "Ports": st.lists(st.fixed_dictionaries({"IP": _ADDRESS, "PrivatePort": _PORT, "PublicPort": _PORT})),
        "NetworkSettings": st.just({"Networks": {"n": {"IPAddress": "10.0.0.1"}}}) | _TEXT | st.none(),
    },
)


@given(_ENTRY, _ADDRESS, st.sampled_from(["", "n"]))
def test_any_entry_makes_good_backends_or_a_value_error(entry: Any, host: str, network: str) -> None:
    options = DockerOptions(
        docker_endpoint="http://h", docker_container_private_port=80, docker_container_network=network
    )
    try:
        found = backends_of(validated(Container, entry), options, host)
    except ValueError:
        return
    assert all(spec.host and 1 <= spec.port <= 65535 and spec.weight >= 0 for spec in found)
