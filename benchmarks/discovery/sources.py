"""The servers that tell of backends, and how to change what they tell."""

import base64
import contextlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

from benchmarks.discovery import backends
from tests.services.consul import Consul
from tests.services.etcd import Etcd
from tests.services.nginx import Nginx
from tests.services.nsd import Nsd
from tests.services.process import Server

ZONE = "backends.test"


class Source(ABC):
    """A source of backends.

    Args:
        port: of all backends.
        directory: for its files.
    """

    name: ClassVar[str]
    seen: ClassVar[str] = "interval"
    """How a change is seen: "pushed", "TTL 1 s", or "interval" for kinds that are polled."""
    most: ClassVar[int] = 60_000
    """Backends that one answer can hold."""
    why_not_more: ClassVar[str] = ""

    def __init__(self, port: int, directory: Path) -> None:
        self.port = port
        self.directory = directory
        self.server: Server | None = None

    def start(self) -> None:
        """Raises tests.services.apt.Unavailable where the server cannot be had."""
        if self.server:
            self.server.start()

    def close(self) -> None:
        if self.server:
            self.server.close()

    @property
    @abstractmethod
    def options(self) -> dict[str, object]:
        """The keys of the discovery, without interval."""

    @abstractmethod
    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        """What makes so many backends of this generation, and no others, the source's answer: all at once."""

    def place(self) -> contextlib.AbstractContextManager[None]:
        """The network in which the source's backends are reached."""
        return contextlib.nullcontext()

    def serves(self, port: int, generation: int) -> bool:
        """Whether a backend of that generation answers a connection to the balancer at the port."""
        return backends.generation_behind(port) == generation

    def specs(self, generation: int, count: int) -> list[str]:
        """The backends as host:port."""
        return [f"{host}:{self.port}" for host in backends.hosts(generation, count)]


class _Document(Source):
    """A text that is replaced by rename."""

    render: ClassVar[Callable[[Sequence[str]], str]]
    suffix: ClassVar[str] = ".txt"

    @property
    def path(self) -> Path:
        return self.directory / f"backends{self.suffix}"

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        new = self.path.with_suffix(".new")
        new.write_text(type(self).render(self.specs(generation, count)))

        def replace() -> None:
            os.utime(new)  # or a web server calls it unchanged: written in the same second, of the same size
            new.rename(self.path)

        return replace


def _lines(specs: Sequence[str]) -> str:
    return "".join(f"{spec} weight=2\n" for spec in specs)


def _json(specs: Sequence[str]) -> str:
    entries = [{"host": host, "port": port, "weight": 2} for host, _, port in (spec.partition(":") for spec in specs)]
    return json.dumps(entries)


def _yaml(specs: Sequence[str]) -> str:
    return "".join("- {{host: {0}, port: {2}, weight: 2}}\n".format(*spec.partition(":")) for spec in specs)


class _Web(_Document):
    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.nginx = Nginx()
        self.server = self.nginx

    @property
    def path(self) -> Path:
        return self.nginx.root / "backends"


class Json(_Web):
    name = "json"
    render = _json

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "json", "json_endpoint": f"{self.nginx.url}/backends"}


class Plaintext(_Web):
    name = "plaintext"
    render = _lines

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "plaintext", "plaintext_endpoint": f"{self.nginx.url}/backends"}


class Exec(_Document):
    name = "exec"
    render = _lines

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "exec", "exec_command": ["cat", str(self.path)]}


class FileLines(_Document):
    name = "file, lines"
    seen = "pushed"
    render = _lines

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "file", "file_path": str(self.path)}


class FileJson(FileLines):
    name = "file, json"
    render = _json
    suffix = ".json"


class FileYaml(FileLines):
    name = "file, yaml"
    render = _yaml
    suffix = ".yaml"


class ConsulInstances(Source):
    """Each generation on a node of its own, whose check makes all of its instances passing or critical together."""

    name = "consul"
    seen = "pushed"
    most = 6_000
    why_not_more = "answers end at 8 MiB, and this agent's are indented"

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.consul = Consul()
        self.server = self.consul
        self._nodes: list[str] = []

    @property
    def options(self) -> dict[str, object]:
        service = {"consul_service_name": "web", "consul_service_passing_only": True}
        return {"kind": "consul", "consul_host": self.consul.host, **service}

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        node = f"g{generation}-{count}"
        if node not in self._nodes:
            self._register(node, backends.hosts(generation, count))
        verdicts = [
            {"Check": {"Verb": "set", "Check": {"Node": known, "CheckID": "up", "Name": "up", "Status": status}}}
            for known, status in ((known, "passing" if known == node else "critical") for known in self._nodes)
        ]
        return partial(self.consul.api.put, "/v1/txn", verdicts)

    def _register(self, node: str, hosts: Sequence[str]) -> None:
        check = {"CheckID": "up", "Name": "up", "Status": "critical"}
        self.consul.api.put("/v1/catalog/register", {"Node": node, "Address": "127.0.0.9", "Check": check})
        services = [{"ID": host, "Service": "web", "Address": host, "Port": self.port} for host in hosts]
        changes = [{"Service": {"Verb": "set", "Node": node, "Service": service}} for service in services]
        for start in range(0, len(changes), 64):  # what Consul takes in one transaction
            self.consul.api.put("/v1/txn", changes[start : start + 64])
        self._nodes.append(node)


class _RoomyEtcd(Etcd):
    """Takes ten thousand keys in one transaction."""

    def command(self) -> Sequence[str | Path]:
        return [*super().command(), "--max-txn-ops=100000", f"--max-request-bytes={16 << 20}"]


class EtcdKeys(Source):
    name = "etcd"
    seen = "pushed"

    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.etcd = _RoomyEtcd()
        self.server = self.etcd
        self._published = ""

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "etcd", "etcd_endpoints": [self.etcd.url], "etcd_prefix": "/web/"}

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        prefix = f"/web/{generation}/"
        puts = [(f"{prefix}{spec}", f"{spec} weight=2") for spec in self.specs(generation, count)]
        changes: list[object] = [{"requestPut": {"key": _base64(key), "value": _base64(value)}} for key, value in puts]
        if self._published not in ("", prefix):
            ends = _base64(self._published), _base64(f"{self._published[:-1]}0")  # "0" follows "/"
            changes.append({"requestDeleteRange": {"key": ends[0], "range_end": ends[1]}})
        self._published = prefix
        return partial(self.etcd.api.post, "/v3/kv/txn", {"success": changes})


class _Dns(Source):
    def __init__(self, port: int, directory: Path) -> None:
        super().__init__(port, directory)
        self.nsd = Nsd()
        self.server = self.nsd


class Srv(_Dns):
    name = "srv"
    most = 1_000
    why_not_more = "a DNS message ends at 64 KiB"

    @property
    def options(self) -> dict[str, object]:
        return {"kind": "srv", "srv_lookup_server": self.nsd.host, "srv_lookup_pattern": f"_web._tcp.{ZONE}."}

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        records = [f"_web._tcp SRV 1 2 {self.port} h{number}" for number in range(count)]
        records += [f"h{number} A {host}" for number, host in enumerate(backends.hosts(generation, count))]
        return partial(self.nsd.write_zone, ZONE, records)


class Dns(_Dns):
    name = "dns"
    seen = "TTL 1 s"
    most = 4_000
    why_not_more = Srv.why_not_more

    @property
    def options(self) -> dict[str, object]:
        return {
            "kind": "dns",
            "dns_lookup_server": self.nsd.host,
            "dns_name": f"web.{ZONE}.",
            "dns_port": self.port,
        }

    def prepare(self, generation: int, count: int) -> Callable[[], None]:
        return partial(self.nsd.write_zone, ZONE, [f"web A {host}" for host in backends.hosts(generation, count)])


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
