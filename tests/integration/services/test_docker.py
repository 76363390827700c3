"""dockerd in namespaces of its own: containers serve, publish, come and go, and nothing of it stays on the machine."""

import ssl
import urllib.request
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services import leaks
from tests.services.docker import Docker
from tests.services.jsonapi import JsonApi
from tests.services.process import LOOPBACK


def _name(docker: Docker, address: str, port: int) -> str:
    """What the container at that address calls itself."""
    with docker.network(), urllib.request.urlopen(f"http://{address}:{port}/name", timeout=10) as response:
        text: str = response.read().decode().strip()
        return text


def test_a_container_serves_on_its_published_port_and_its_own_address(dockerd: Docker) -> None:
    dockerd.run("web1", labels={"proxied": "true"}, publish=["127.0.0.1::80"], environment={"HOST_IP": "127.0.0.9"})
    dockerd.run("web2")
    assert _name(dockerd, *dockerd.published("web1")) == "web1"
    assert _name(dockerd, dockerd.address("web2"), 80) == "web2"
    known = dockerd.inspect("web1")["Config"]
    assert known["Labels"]["proxied"] == "true"
    assert "HOST_IP=127.0.0.9" in known["Env"]


def test_containers_come_and_go(dockerd: Docker) -> None:
    dockerd.run("web1")
    dockerd.run("web2")
    dockerd.remove("web1")
    assert dockerd.docker("ps", "--format", "{{.Names}}") == "web2"
    dockerd.docker("pause", "web2")
    assert dockerd.inspect("web2")["State"]["Status"] == "paused"
    dockerd.remove_all()
    assert dockerd.docker("ps", "--all", "--quiet") == ""


def test_a_container_joins_another_network(dockerd: Docker) -> None:
    dockerd.docker("network", "create", "inner")
    dockerd.run("web1", "--network=inner")
    assert _name(dockerd, dockerd.address("web1", "inner"), 80) == "web1"


def test_tcp_is_reached_inside_its_network_only(dockerd: Docker) -> None:
    api = JsonApi(LOOPBACK, 2375)
    with dockerd.network():
        assert api.get("/version")["Version"]
    with pytest.raises(OSError, match="refused"):
        api.get("/version")


def test_tls_needs_a_client_certificate(serve: Serve) -> None:
    docker = serve(Docker(tls=True))
    with docker.network():
        assert JsonApi(LOOPBACK, 2376, docker.authority.context(docker.client)).get("/version")["Version"]
        with pytest.raises((ssl.SSLError, ConnectionError)):
            JsonApi(LOOPBACK, 2376, docker.authority.context()).get("/version")


@pytest.mark.parametrize("end", [Docker.stop, Docker.kill])
def test_containers_are_known_after_a_restart(dockerd: Docker, end: object) -> None:
    dockerd.run("web1", publish=["127.0.0.1::80"])
    end(dockerd)  # type: ignore[operator]
    dockerd.start()
    assert dockerd.inspect("web1")["State"]["Running"] is False
    dockerd.docker("start", "web1")
    assert _name(dockerd, *dockerd.published("web1")) == "web1"


def test_a_frozen_container_can_be_killed(dockerd: Docker) -> None:
    dockerd.run("web1")
    dockerd.docker("pause", "web1")
    dockerd.kill()
    dockerd.start()
    assert dockerd.inspect("web1")["State"]["Status"] == "exited"


def test_nothing_stays_on_the_machine(dockerd: Docker) -> None:
    interfaces = set(Path("/sys/class/net").iterdir())
    before = {process.pid for process in leaks.children()}
    dockerd.run("web1")
    assert any("httpd" in process.command for process in leaks.children())
    assert set(Path("/sys/class/net").iterdir()) == interfaces
    dockerd.close()
    assert {process.pid for process in leaks.children()} < before
    assert not [trace for trace in leaks.traces() if "docker" in trace]
