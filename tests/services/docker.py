"""Docker engine in namespaces of its own, with one image: busybox httpd."""

import json
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services import apt
from tests.services.busybox import SERVE, root_tar
from tests.services.certificates import Certified
from tests.services.namespaces import IsolatedServer
from tests.services.process import LOOPBACK

IMAGE = "gobetween/busybox:1"


class Docker(Certified, IsolatedServer):
    """dockerd on a UNIX socket, seen from anywhere, and on TCP inside its own network.

    Published ports and the containers' addresses are reached inside that network too: `with docker.network(): ...`.
    Images and containers outlast a restart; running containers do not, unless with a restart policy.

    Args:
        tls: TCP is https for those who show a certificate of `authority`, such as `client`.
    """

    name = "docker"

    def __init__(self, *, tls: bool = False) -> None:
        super().__init__()
        self.tls = tls
        self.tcp_port = 2376 if tls else 2375
        self.socket = self.folder / "run" / "docker.sock"

    @property
    def endpoint(self) -> str:
        """`docker_endpoint` of a config that is good anywhere."""
        return f"unix://{self.socket}"

    @property
    def tcp_endpoint(self) -> str:
        """`docker_endpoint` of a config that is good inside the server's network; one for https with `tls`."""
        return f"{'https' if self.tls else 'http'}://{LOOPBACK}:{self.tcp_port}"

    def isolated_command(self) -> Sequence[str | Path]:
        binary = apt.command("dockerd", "docker.io")
        config = self.folder / "daemon.json"
        config.write_text("{}")
        # What a machine loses when it goes down: pid files would name processes of other namespaces.
        shutil.rmtree(runtime := self.folder / "run", ignore_errors=True)
        return [
            *(binary, "--config-file", config, "--pidfile", runtime / "pid"),
            *("--data-root", self.folder / "data", "--exec-root", runtime),
            *("--host", self.endpoint, "--host", f"tcp://{LOOPBACK}:{self.tcp_port}"),
            *(self._tls_options() if self.tls else ["--tls=false"]),
            *("--iptables=false", "--ip-forward=false", "--group=root", f"--cgroup-parent={self.cgroup_parent}"),
        ]

    def answers(self) -> bool:
        if not self.socket.exists() or self._docker("version").returncode != 0:
            return False
        if self._docker("image", "inspect", IMAGE).returncode != 0:
            command = json.dumps(["/bin/sh", "-c", SERVE])
            changes = [f"--change=CMD {command}", "--change=EXPOSE 80"]
            self.docker("import", *changes, "-", IMAGE, content=root_tar())
        return True

    def docker(self, *arguments: str, content: bytes | None = None) -> str:
        """Output of the docker command, which reads `content`; RuntimeError with what it said when it fails."""
        done = self._docker(*arguments, content=content)
        if done.returncode != 0:
            raise RuntimeError(f"docker {' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout.decode().rstrip("\n")

    def run(
        self,
        name: str,
        *options: str,
        labels: Mapping[str, str] | None = None,
        publish: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Starts a container that serves HTTP on port 80, `/name` with its name.

        Args:
            name: of the container.
            options: further ones of `docker run`, for instance "--network=NAME".
            labels: of the container.
            publish: ports as `docker run -p` takes them, for instance "127.0.0.1::80".
            environment: variables of the container.
        """
        # As process 1, a shell or httpd ignores SIGTERM: stopping one would take ten seconds.
        flags = ["--detach", "--stop-signal=SIGKILL", f"--name={name}", f"--hostname={name}"]
        flags += [f"--label={key}={value}" for key, value in (labels or {}).items()]
        flags += [f"--publish={port}" for port in publish]
        flags += [f"--env={key}={value}" for key, value in (environment or {}).items()]
        self.docker("run", *flags, *options, IMAGE)

    def remove(self, name: str) -> None:
        """Kills a container and forgets it."""
        self.docker("rm", "--force", name)

    def remove_all(self) -> None:
        """Kills and forgets every container."""
        if containers := self.docker("ps", "--all", "--quiet").split():
            self.docker("rm", "--force", *containers)

    def inspect(self, name: str) -> dict[str, Any]:
        """What the engine knows of a container."""
        (answer,) = json.loads(self.docker("container", "inspect", name))
        return dict(answer)

    def address(self, name: str, network: str = "bridge") -> str:
        """A container's address in one of its networks."""
        found: str = self.inspect(name)["NetworkSettings"]["Networks"][network]["IPAddress"]
        return found

    def published(self, name: str, port: int = 80) -> tuple[str, int]:
        """Address and port where a container's private port is published (the first, if several)."""
        binding = self.inspect(name)["NetworkSettings"]["Ports"][f"{port}/tcp"][0]
        return binding["HostIp"], int(binding["HostPort"])

    def _tls_options(self) -> list[str | Path]:
        files = {"cacert": self.authority.ca, "cert": self.own.certificate, "key": self.own.key}
        return ["--tlsverify", *(f"--tls{name}={file}" for name, file in files.items())]

    def _docker(self, *arguments: str, content: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
        command = [apt.command("docker", "docker.io"), "--host", self.endpoint, *arguments]
        return subprocess.run(command, input=content or b"", capture_output=True, check=False, timeout=60)
