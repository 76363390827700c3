"""Servers that change the machine they run on get one of their own: namespaces for network, mounts and processes.

unshare makes the namespaces, a shell inside is process 1, the server its child. When the shell dies the kernel kills
all that ran there, containers too, and takes interfaces and mounts away. Only the control groups are left, and removed
here.
"""

import ctypes
import os
import subprocess
import threading
import time
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.services import apt
from tests.services.proc import descendants
from tests.services.process import Server

_CGROUPS = Path("/sys/fs/cgroup")
_THAWED = {"freezer.state": "THAWED", "cgroup.freeze": "0"}
"""What a group's file says when its processes run, in version 1 and 2 of control groups."""

# $1: where the machine's control groups may be mounted meanwhile. $2: a file that names this server's groups. Then the
# command. A new sysfs shows the new network's interfaces, and hides the mounts of the control groups: hence the detour.
# An IPv6 address is good at once: nobody is asked whether it is taken.
_INIT = """
set -e
while read -r group; do echo 0 > "$group/cgroup.procs"; done < "$2"
echo 0 > /proc/sys/net/ipv6/conf/default/accept_dad
ip link set lo up
mount --rbind /sys/fs/cgroup "$1"
mount -t sysfs sysfs /sys
mount --rbind "$1" /sys/fs/cgroup
shift 2
"$@" & wait $!
"""


class IsolatedServer(Server):
    """A server in namespaces of its own. Its files and UNIX sockets are seen from outside, its TCP ports are not.

    `with server.network():` brings the test to its network. Needs root.
    """

    def __init__(self) -> None:
        super().__init__()
        self._groups = ControlGroups(self.folder.name)

    @property
    def cgroup_parent(self) -> str:
        """The control group, from the root of each hierarchy, below which all groups of the server belong."""
        return f"/{self._groups.name}"

    @abstractmethod
    def isolated_command(self) -> Sequence[str | Path]:
        """As Server.command(), run inside."""

    def command(self) -> Sequence[str | Path]:
        if os.geteuid() != 0:
            raise apt.Unavailable(f"{self.name} needs namespaces of its own, which needs root")
        apt.command("ip", "iproute2")
        inner = self.isolated_command()
        place, list_of_groups = self.folder / "cgroups", self.folder / "groups"
        place.mkdir(exist_ok=True)
        list_of_groups.write_text("".join(f"{group}\n" for group in self._groups.create()))
        unshare = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc", "--kill-child"]
        return [*unshare, "bash", "-c", _INIT, "bash", place, list_of_groups, *inner]

    @property
    def main_pid(self) -> int:
        """The server itself: a child of the shell that is a child of unshare."""
        below = descendants(self.pid)
        shell = next(process for process in below if process.parent == self.pid)
        return next((process.pid for process in below if process.parent == shell.pid), shell.pid)

    def kill(self) -> None:
        self._groups.thaw()
        super().kill()
        self._groups.remove()

    def close(self) -> None:
        self.kill()  # nothing outlives it, so nothing needs a farewell
        super().close()

    @contextmanager
    def network(self) -> Iterator[None]:
        """Puts the calling thread, and what it starts meanwhile, into the server's network; no thread that is there."""
        with inside(f"/proc/{self.main_pid}/ns/net"):
            yield

    def run_inside(self, *command: str | Path) -> str:
        """Output of a command that runs in the server's network and sees its mounts."""
        enter = ["nsenter", "--target", str(self.main_pid), "--net", "--mount", "--pid"]
        return subprocess.run([*enter, *command], capture_output=True, text=True, check=True).stdout


class ControlGroups:
    """A control group of one name in every hierarchy of the machine, be they of version 1 or 2.

    Args:
        name: of the group below the root of each hierarchy.
    """

    def __init__(self, name: str) -> None:
        self.name = name

    def create(self) -> list[Path]:
        """The groups that a server's processes join.

        They lie one level below: with version 2, a group that has children holds no processes. LXC leaves out a last
        level called init.scope when it places its own groups beside that of process 1.
        """
        return [self._create(root / self.name / "init.scope", root) for root in _hierarchies()]

    def thaw(self) -> None:
        """Lets frozen processes go on, in all groups below: with version 1 they could not even be killed."""
        for root in _hierarchies():
            for folder, _, files in os.walk(root / self.name):
                for switch in _THAWED.keys() & files:
                    Path(folder, switch).write_text(_THAWED[switch])

    def remove(self, patience: float = 5.0) -> None:
        """Removes the groups and all below them; those of processes that are about to end within `patience` seconds."""
        deadline = time.monotonic() + patience
        for root in _hierarchies():
            for folder, _, _ in os.walk(root / self.name, topdown=False):
                while True:
                    try:
                        Path(folder).rmdir()
                        break
                    except OSError:
                        if time.monotonic() > deadline:
                            raise
                        time.sleep(0.01)

    def _create(self, group: Path, root: Path) -> Path:
        group.mkdir(parents=True, exist_ok=True)
        for folder in group.parent, group:
            for name in "cpuset.cpus", "cpuset.mems":
                # Version 1 makes cpusets empty, and an empty one takes no process.
                if root.name == "cpuset" and not (folder / name).read_text().strip():
                    (folder / name).write_text((folder.parent / name).read_text())
        return group


def _hierarchies() -> list[Path]:
    """Roots of the mounted control group hierarchies."""
    return [folder for folder in (_CGROUPS, *_CGROUPS.glob("*/")) if folder.is_mount() and _is_group(folder)]


def _is_group(folder: Path) -> bool:
    return (folder / "cgroup.procs").exists()


@contextmanager
def inside(network: str | Path) -> Iterator[None]:
    """Puts the calling thread, and what it starts meanwhile, into a network, given as the file of its namespace.

    Sockets stay in the network in which they were made.
    """
    with _namespace(f"/proc/{os.getpid()}/task/{threading.get_native_id()}/ns/net") as outside:
        with _namespace(network) as there:
            _enter(there)
        try:
            yield
        finally:
            _enter(outside)


@contextmanager
def _namespace(path: str | Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _enter(namespace: int) -> None:
    """setns(2), which Python has from 3.12 on."""
    if ctypes.CDLL(None, use_errno=True).setns(namespace, 0) != 0:
        raise OSError(ctypes.get_errno(), "setns")
