"""Keys of docker that are wrong or do not go together."""

from typing import Any

import pytest
from pydantic import ValidationError

from discovery.daemon.endpoint import Endpoint
from discovery.docker.options import DockerOptions


def options(**keys: Any) -> DockerOptions:
    needed = {"docker_endpoint": "unix:///run/docker.sock", "docker_container_private_port": 80}
    return DockerOptions.model_validate(needed | keys)


@pytest.mark.parametrize(
    ("keys", "error"),
    [
        ({"docker_endpoint": "localhost:2375"}, "docker_endpoint"),
        ({"docker_endpoint": "http://user:secret@h"}, "more than host and port"),
        ({"docker_container_private_port": 0}, "greater than or equal to 1"),
        ({"docker_container_private_port": "80"}, "valid integer"),
        ({"docker_tls_cert_path": "/c.pem"}, "go together"),
        ({"docker_tls_enabled": True}, "needs an endpoint over TCP"),
        ({"docker_container_network": "n", "docker_container_host_env_var": "H"}, "give one"),
        ({"docker_container_lable": "a"}, "Extra inputs"),
    ],
)
def test_what_is_wrong_is_an_error_of_the_config(keys: dict[str, Any], error: str) -> None:
    with pytest.raises(ValidationError, match=error) as raised:
        options(**keys)
    assert "secret" not in raised.value.errors(include_input=False)[0]["msg"]


@pytest.mark.parametrize("key", ["docker_endpoint", "docker_container_private_port"])
def test_what_is_missing_is_an_error_of_the_config(key: str) -> None:
    with pytest.raises(ValidationError, match=f"{key}\n  Field required"):
        DockerOptions.model_validate(options().model_dump(exclude_unset=True, exclude={key}))


@pytest.mark.parametrize(
    ("url", "tls", "endpoint"),
    [
        ("unix:///run/docker.sock", False, Endpoint("/run/docker.sock")),
        ("tcp://h", False, Endpoint("", "h", 2375)),
        ("http://h:1", True, Endpoint("", "h", 1, secure=True)),
        ("https://h", False, Endpoint("", "h", 2376, secure=True)),
    ],
)
def test_ports_are_those_of_docker_and_tls_counts_whatever_the_scheme(url: str, tls: bool, endpoint: Endpoint) -> None:
    assert options(docker_endpoint=url, docker_tls_enabled=tls).endpoint == endpoint
