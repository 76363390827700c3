"""docker and lxd: two containers, of which one at a time is a backend; reached in the networks of their engines."""

import http.client
import json
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

from benchmarks.discovery.sources import Source
from tests.services.docker import Docker
from tests.services.lxd import Lxd
from tests.services.namespaces import IsolatedServer

LABEL = "user.gobetween.label"


class _Containers(Source):
    """The backend of an odd generation is the container `one`, of an even one `two`."""

    seen = "pushed"
    most = 2
    why_not_more = "ten thousand containers are too many for this machine"
    server: IsolatedServer

    def place(self) -> AbstractContextManager[None]:
        return self.server.network()

    def serves(self, port: int, generation: int) -> bool:
        """By asking the container's HTTP server for its name."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/name")
            return connection.getresponse().read().decode().strip() == NAMES[generation % 2]
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


NAMES = ["two", "one"]


class DockerContainers(_Containers):
    """The new container starts, the old one is killed."""

    name = "docker"

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.docker = Docker()
        self.server = self.docker
        self._runs = ""

    def start(self) -> None:
        super().start()
        for name in NAMES:
            self.docker.run(name, publish=["80"])
            self.docker.docker("kill", name)

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "docker", "docker_endpoint": self.docker.endpoint, "docker_container_private_port": 80}

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        new, old, self._runs = NAMES[generation % 2], self._runs, NAMES[generation % 2]

        def change() -> None:
            _call(str(self.docker.socket), "POST", f"/containers/{new}/start")
            if old:
                _call(str(self.docker.socket), "POST", f"/containers/{old}/kill")

        return change


class LxdContainers(_Containers):
    """Without the label a container is no backend."""

    name = "lxd"

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.lxd = Lxd()
        self.server = self.lxd

    def start(self) -> None:
        super().start()
        for name in NAMES:
            self.lxd.launch(name)
        for name in NAMES:
            self.lxd.wait_for_address(name)

    @property
    def options(self) -> dict[str, object]:
        label = {"lxd_container_label_key": LABEL, "lxd_container_label_value": "web", "lxd_container_port": 80}
        return {"kind": "lxd", "lxd_server_address": self.lxd.endpoint, **label}

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        new, old = NAMES[generation % 2], NAMES[(generation + 1) % 2]

        def change() -> None:
            for name, label in (new, "web"), (old, ""):
                _call(str(self.lxd.socket), "PATCH", f"/1.0/instances/{name}", {"config": {LABEL: label}})

        return change


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=30)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _call(path: str, method: str, target: str, body: object = None) -> None:
    """A request over a UNIX socket; RuntimeError for an answer that is none of 2xx."""
    connection = _UnixConnection(path)
    try:
        connection.request(method, target, None if body is None else json.dumps(body))
        response = connection.getresponse()
        answer = response.read()
        if response.status >= 300:
            raise RuntimeError(f"{method} {target}: {response.status} {answer.decode(errors='replace')}")
    finally:
        connection.close()
