"""A client, a balancer and a backend on networks of their own, for tests of source addresses.

    client 10.77.1.2 -- 10.77.1.1 balancer 10.77.2.1 -- 10.77.2.2 backend

The backend's way to the client leads through the balancer, and nothing else leads anywhere.
"""

import itertools
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Self

from tests.services import apt
from tests.services.namespaces import inside
from tests.services.process import unique

Place = Literal["client", "balancer", "backend"]

CLIENT, FRONT, INNER, BACKEND = "10.77.1.2", "10.77.1.1", "10.77.2.1", "10.77.2.2"
FORBIDDEN, FORBIDDEN_6 = "10.77.3.3", "fd77:3::3"
CLIENT_6, FRONT_6, INNER_6, BACKEND_6 = "fd77:1::2", "fd77:1::1", "fd77:2::1", "fd77:2::2"

_numbers = itertools.count()


class Networks:
    """The three, for as long as the block runs.

    Raises:
        Unavailable: they need root and iproute2.
    """

    def __enter__(self) -> Self:
        if os.geteuid() != 0:
            raise apt.Unavailable("networks of their own need root")
        self._ip = apt.command("ip", "iproute2")
        run = f"{unique('net')}{next(_numbers)}-"
        self._names: dict[Place, str] = {place: run + place for place in ("client", "balancer", "backend")}
        for name in self._names.values():
            self._run("netns", "add", name)
        try:
            self._connect("client", (FRONT, FRONT_6), (CLIENT, CLIENT_6))
            self._connect("backend", (INNER, INNER_6), (BACKEND, BACKEND_6))
            for via in INNER, INNER_6:
                self._run("-n", self._names["backend"], "route", "add", "default", "via", via)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for name in self._names.values():
            self._run("netns", "delete", name)

    @contextmanager
    def inside(self, place: Place) -> Iterator[None]:
        """Puts the calling thread there, and what it starts meanwhile; sockets stay where they were made."""
        with inside(Path("/run/netns", self._names[place])):
            yield

    def intercept(self) -> None:
        """Has the balancer take for its own what the backend sends, whoever it is for: see docs/source-address.md."""
        for version, anywhere in ("-4", "0.0.0.0/0"), ("-6", "::/0"):
            balancer = [version, "-n", self._names["balancer"]]
            self._run(*balancer, "rule", "add", "iif", "to-backend", "lookup", "100")
            self._run(*balancer, "route", "add", "local", anywhere, "dev", "lo", "table", "100")

    def forbid(self) -> None:
        """Has the backend route, and answer what is sent to FORBIDDEN as firewalls do: administratively prohibited."""
        for version, address, via in ("-4", FORBIDDEN, BACKEND), ("-6", FORBIDDEN_6, BACKEND_6):
            self._run(version, "-n", self._names["balancer"], "route", "add", address, "via", via)
            self._run(version, "-n", self._names["backend"], "route", "add", "prohibit", address)
        with self.inside("backend"):
            Path("/proc/sys/net/ipv4/ip_forward").write_text("1")

    def _connect(self, place: Place, near: tuple[str, str], far: tuple[str, str]) -> None:
        """A cable from the balancer; `near` are its addresses, `far` those at the other end, IPv4 and IPv6."""
        balancer, other, port = self._names["balancer"], self._names[place], f"to-{place}"
        self._run("-n", balancer, "link", "add", port, "type", "veth", "peer", "name", "eth0", "netns", other)
        for name, device, addresses in (balancer, port, near), (other, "eth0", far):
            self._run("-n", name, "link", "set", "lo", "up")
            self._run("-n", name, "link", "set", device, "up")
            self._run("-n", name, "address", "add", f"{addresses[0]}/24", "dev", device)
            self._run("-n", name, "address", "add", f"{addresses[1]}/64", "dev", device, "nodad")

    def _run(self, *arguments: str) -> None:
        done = subprocess.run([self._ip, *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr}")
