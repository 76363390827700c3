"""LXD 5 in namespaces of its own, with one image: busybox httpd."""

import io
import json
import os
import subprocess
import tarfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.services import apt
from tests.services.busybox import SERVE, add_file, root_tar
from tests.services.namespaces import IsolatedServer
from tests.services.process import LOOPBACK

TRUST_PASSWORD = "trust me"

_METADATA = "architecture: x86_64\ncreation_date: 1\nproperties: {os: busybox}\n"
_INIT = f"""#!/bin/sh
echo 0 > /proc/sys/net/ipv6/conf/eth0/accept_dad
ip link set lo up
ip link set eth0 up && udhcpc -i eth0 -q -n -t 50 -T 1 -s /sbin/dhcp
{SERVE}
"""
_DHCP = """#!/bin/sh
[ "$1" = bound ] && ip address add "$ip/$mask" dev "$interface" && ip route add default via "$router"
exit 0
"""


class Lxd(IsolatedServer):
    """lxd on a UNIX socket, seen from anywhere, and on https inside its own network, trusting who knows TRUST_PASSWORD.

    The containers' addresses (10.77.0.0/24, fd42:77::/64) are reached inside that network: `with lxd.network(): ...`.
    """

    name = "lxd"
    patience = 60.0
    https_endpoint = f"https://{LOOPBACK}:8443"
    """`lxd_server_address` of a config that is good inside the server's network."""

    def __init__(self) -> None:
        super().__init__()
        self.data = self.folder / "lxd"
        self.folder.chmod(0o711)  # root in a container is another user outside, who must get to its files
        self.data.mkdir()
        self.socket = self.data / "unix.socket"
        self._ready = False

    @property
    def endpoint(self) -> str:
        """`lxd_server_address` of a config that is good anywhere."""
        return f"unix://{self.socket}"

    @property
    def server_certificate(self) -> Path:
        """The server's own certificate in PEM; self-signed."""
        return self.data / "server.crt"

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, "LXD_DIR": str(self.data), "LXD_CONF": str(self.folder / "client")}

    def isolated_command(self) -> Sequence[str | Path]:
        apt.command("dnsmasq", "dnsmasq-base")
        return [apt.command("lxd", "lxd"), "--group", "root"]

    def answers(self) -> bool:
        if self._call("lxd", "waitready", "--timeout=5").returncode != 0:
            return False
        if not self._ready:
            self._prepare()
            self._ready = True
        return True

    def lxc(self, *arguments: str) -> str:
        """Output of the lxc command; RuntimeError with what it said when it fails."""
        return self._run("lxc", *arguments)

    def launch(self, name: str, *options: str, config: Mapping[str, str] | None = None, address: str = "") -> None:
        """Starts a container that serves HTTP on port 80, `/name` with its name. See wait_for_address().

        Args:
            name: of the container.
            options: further ones of `lxc launch`.
            config: its configuration, for instance {"user.gobetween.label": "web"}.
            address: IPv4 address that it gets; "" leaves the choice to DHCP.
        """
        flags = [part for key, value in (config or {}).items() for part in ("--config", f"{key}={value}")]
        flags += ["--device", f"eth0,ipv4.address={address}"] if address else []
        self.lxc("launch", "busybox", name, "--quiet", *flags, *options)

    def remove(self, name: str) -> None:
        """Kills a container and forgets it."""
        self.lxc("delete", "--force", name)

    def remove_all(self) -> None:
        """Kills and forgets every container."""
        for container in json.loads(self.lxc("list", "--format=json")):
            self.remove(container["name"])

    def stop_container(self, name: str) -> None:
        """Kills a container and keeps it."""
        self.lxc("stop", "--force", name)

    def state(self, name: str) -> dict[str, Any]:
        """What LXD knows of a container's state: status, addresses, ..."""
        answer: dict[str, Any] = json.loads(self.lxc("query", f"/1.0/instances/{name}/state"))
        return answer

    def addresses(self, name: str, family: str = "inet", interface: str = "eth0") -> list[str]:
        """A container's global addresses on one of its interfaces; family "inet" or "inet6"."""
        found = (self.state(name).get("network") or {}).get(interface, {}).get("addresses", [])
        return [entry["address"] for entry in found if entry["family"] == family and entry["scope"] == "global"]

    def wait_for_address(self, name: str, family: str = "inet") -> str:
        """A container's address, as soon as it has one."""
        deadline = time.monotonic() + self.patience
        while not (found := self.addresses(name, family)):
            if time.monotonic() > deadline:
                raise RuntimeError(f"{name} got no address: {self.state(name)}")
            time.sleep(0.05)
        return found[0]

    def _prepare(self) -> None:
        self._run("lxd", "init", "--preseed", content=json.dumps(_preseed()).encode())
        image = self.folder / "image.tar"
        image.write_bytes(_image())
        self.lxc("image", "import", str(image), "--alias", "busybox")

    def _run(self, *arguments: str, content: bytes = b"") -> str:
        done = self._call(*arguments, content=content)
        if done.returncode != 0:
            raise RuntimeError(f"{' '.join(arguments)}: {done.stderr.decode()}")
        return done.stdout.decode()

    def _call(self, name: str, *arguments: str, content: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        command = [apt.command(name, "lxd"), *arguments]
        environment = dict(self.environment())
        return subprocess.run(command, input=content, env=environment, capture_output=True, check=False, timeout=60)


def _preseed() -> dict[str, Any]:
    """Answers to all that `lxd init` asks."""
    bridge = {
        "ipv4.address": "10.77.0.1/24",
        "ipv4.nat": "false",
        "ipv4.firewall": "false",
        "ipv6.address": "fd42:77::1/64",
        "ipv6.nat": "false",
        "ipv6.firewall": "false",
    }
    devices = {
        "root": {"type": "disk", "path": "/", "pool": "default"},
        "eth0": {"type": "nic", "name": "eth0", "network": "lxdbr0"},
    }
    return {
        "config": {"core.https_address": f"{LOOPBACK}:8443", "core.trust_password": TRUST_PASSWORD},
        "networks": [{"name": "lxdbr0", "type": "bridge", "config": bridge}],
        "storage_pools": [{"name": "default", "driver": "dir"}],
        "profiles": [{"name": "default", "devices": devices}],
    }


def _image() -> bytes:
    """A unified image: metadata beside the root file system."""
    scripts = {"sbin/init": _INIT, "sbin/dhcp": _DHCP}
    buffer = io.BytesIO(root_tar("rootfs/", scripts))
    with tarfile.open(fileobj=buffer, mode="a") as tar:
        add_file(tar, "metadata.yaml", _METADATA.encode())
    return buffer.getvalue()
