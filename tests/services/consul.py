"""Consul 1.8.7: a dev agent, with ACL and mTLS where asked, and a cluster of three servers that can lose its leader."""

import json
import signal
import ssl
import subprocess
import time
import uuid
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self
from urllib.parse import quote

from tests.services import apt
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server, Startable, StartError

_SHA256 = "e4e888bba104daba1d9161f49bfc52649a7e4efd45b1a7ead5bc54f2cb9c89d9"


def consul_binary() -> Path:
    """The consul program: Debian 12 has none, so that of Debian 11 is taken."""
    return apt.extract("consul", "bullseye", _SHA256, "usr/bin/consul")


class Agent(Server):
    """What every Consul agent here has: its ports, its configuration and its API."""

    name = "consul"

    def __init__(self, node: str, address: str = LOOPBACK, *, ports: Mapping[str, int] | None = None) -> None:
        super().__init__()
        self.node = node
        self.address = address
        self.ports = dict(ports or agent_ports())
        self.token: str | None = None

    @property
    def port(self) -> int:
        """Of the HTTP API."""
        return self.ports["http"]

    @property
    def host(self) -> str:
        """`consul_host` of a config: "host:port"."""
        return f"{self.address}:{self.port}"

    @property
    def api(self) -> JsonApi:
        """The agent's HTTP API with the right to do anything."""
        headers = {"X-Consul-Token": self.token} if self.token else {}
        return JsonApi(self.address, self.port, self.tls_context(), headers)

    def tls_context(self) -> ssl.SSLContext | None:
        """None: plain HTTP."""
        return None

    def settings(self) -> dict[str, Any]:
        """The agent's configuration file."""
        return {
            "node_name": self.node,
            "bind_addr": self.address,
            "client_addr": self.address,
            "ports": self.ports,
            "disable_update_check": True,
            "leave_on_terminate": False,
        }

    def command(self) -> Sequence[str | Path]:
        binary = consul_binary()
        config = self.folder / "agent.json"
        config.write_text(json.dumps(self.settings()))
        return [binary, "agent", "-config-file", config]

    def register(
        self,
        name: str,
        port: int,
        *,
        id: str | None = None,
        address: str = LOOPBACK,
        status: str | None = None,
        **more: Any,
    ) -> str:
        """Registers an instance of a service; returns its id (default `NAME-PORT`).

        Args:
            name: of the service.
            port: of the instance.
            id: of the instance.
            address: of the instance; "" leaves it to the node's.
            status: gives it a TTL check in that state: passing, warning or critical. See also set_status().
            more: fields of the API as they are: Tags, Meta, Weights, EnableTagOverride, ...
        """
        instance = id or f"{name}-{port}"
        body: dict[str, Any] = {"ID": instance, "Name": name, "Port": port, "Address": address, **more}
        if status:
            body["Check"] = {"CheckID": f"service:{instance}", "TTL": "24h", "Status": status}
        self.api.put("/v1/agent/service/register", body)
        return instance

    def set_status(self, instance: str, status: str) -> None:
        """Sets the TTL check of an instance: passing, warning or critical."""
        self.api.put(f"/v1/agent/check/update/{quote(f'service:{instance}')}", {"Status": status})

    def deregister(self, instance: str) -> None:
        """Takes an instance away."""
        self.api.put(f"/v1/agent/service/deregister/{quote(instance)}")

    def register_external(self, node: str, address: str, services: Sequence[Mapping[str, Any]]) -> None:
        """Registers a node without an agent and its services (fields of the catalog API: Service, ID, Port, ...)."""
        for service in services:
            body = {"Node": node, "Address": address, "Service": service, "SkipNodeUpdate": False}
            self.api.put("/v1/catalog/register", body)

    def put(self, key: str, value: str) -> None:
        """Sets a key of the key-value store."""
        self.api.request("PUT", f"/v1/kv/{quote(key)}", value.encode())

    def delete(self, key: str) -> None:
        """Removes a key of the key-value store."""
        self.api.request("DELETE", f"/v1/kv/{quote(key)}")

    def leader(self) -> str:
        """Address of the leader's RPC port; "" when there is none."""
        leader: str = self.api.get("/v1/status/leader")
        return leader


class Consul(Agent):
    """A dev agent: one server, all in memory, so that it knows nothing after a restart.

    Args:
        acl: deny by default; `token` may do anything, create_token() makes lesser ones.
        tls: https with client certificates only; `ca`, `certificate` and `key` are files of a client.
    """

    def __init__(self, *, acl: bool = False, tls: bool = False) -> None:
        super().__init__("n1")
        self.token = str(uuid.uuid4()) if acl else None
        self.tls = tls
        if tls:
            self.ports |= {"http": -1, "https": self.ports["http"]}
        self.ca = self.folder / "consul-agent-ca.pem"
        self.certificate = self.folder / "dc1-client-consul-0.pem"
        self.key = self.folder / "dc1-client-consul-0-key.pem"

    @property
    def port(self) -> int:
        return self.ports["https" if self.tls else "http"]

    def command(self) -> Sequence[str | Path]:
        if self.tls and not self.ca.exists():
            self._create_certificates()
        return [*super().command(), "-dev"]

    def settings(self) -> dict[str, Any]:
        settings = super().settings() | {"connect": {"enabled": True}}
        if self.token:
            tokens = {"master": self.token, "agent": self.token}
            settings["acl"] = {"enabled": True, "default_policy": "deny", "tokens": tokens}
        if self.tls:
            settings |= {
                "ca_file": str(self.ca),
                "cert_file": str(self.folder / "dc1-server-consul-0.pem"),
                "key_file": str(self.folder / "dc1-server-consul-0-key.pem"),
                "verify_incoming": True,
            }
        return settings

    def answers(self) -> bool:
        try:
            if self.token:
                self.api.get("/v1/acl/token/self")
            return bool(self.leader()) and bool(self.api.get("/v1/catalog/nodes"))
        except ApiError:
            return False

    def tls_context(self) -> ssl.SSLContext | None:
        if not self.tls:
            return None
        context = ssl.create_default_context(cafile=self.ca)
        context.load_cert_chain(self.certificate, self.key)
        return context

    def create_token(self, rules: str) -> str:
        """Secret of a new token with these rules, for instance `service_prefix "" { policy = "read" }`."""
        policy = self.api.put("/v1/acl/policy", {"Name": f"policy-{uuid.uuid4()}", "Rules": rules})
        secret: str = self.api.put("/v1/acl/token", {"Policies": [{"ID": policy["ID"]}]})["SecretID"]
        return secret

    def _create_certificates(self) -> None:
        for arguments in ["ca", "create"], ["cert", "create", "-server"], ["cert", "create", "-client"]:
            address = [] if arguments[0] == "ca" else ["-additional-ipaddress", LOOPBACK]
            command: list[str | Path] = [consul_binary(), "tls", *arguments, *address]
            subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


class _ClusterServer(Agent):
    """One of the servers of a cluster; keeps its data over a restart."""

    def __init__(self, number: int, ports: Mapping[str, int]) -> None:
        super().__init__(f"n{number}", f"127.0.0.{10 + number}", ports=ports)

    def settings(self) -> dict[str, Any]:
        return super().settings() | {
            "server": True,
            "bootstrap_expect": 3,
            "data_dir": str(self.folder / "data"),
            "retry_join": [f"127.0.0.{10 + number}:{self.ports['serf_lan']}" for number in (1, 2, 3)],
            "retry_interval": "200ms",
            "performance": {"raft_multiplier": 1},
        }

    def answers(self) -> bool:
        return bool(self.api.get("/v1/agent/self"))


class ConsulCluster(Startable):
    """Three servers on 127.0.0.11 to 127.0.0.13, on the same ports, one of them the leader."""

    name: ClassVar[str] = "consul cluster"
    patience = 60.0
    """Seconds until it must have a leader."""

    def __init__(self) -> None:
        ports = agent_ports()
        self.servers: list[Agent] = [_ClusterServer(number, ports) for number in (1, 2, 3)]

    @property
    def hosts(self) -> list[str]:
        """ "host:port" of each server's HTTP API."""
        return [server.host for server in self.servers]

    def start(self) -> Self:
        for server in self.servers:
            server.start()
        self.wait_for_leader(peers=3)
        return self

    def leader(self) -> Agent | None:
        """The running server that all running servers take for the leader; None while they hold an election."""
        running = [server for server in self.servers if server.process]
        try:
            named = {server.leader().partition(":")[0] for server in running}
        except (ApiError, OSError):
            return None
        return next((server for server in running if named == {server.address}), None)

    def wait_for_leader(self, peers: int = 1) -> Agent:
        """The leader, as soon as there is one that leads at least `peers` servers and answers consistent reads."""
        deadline = time.monotonic() + self.patience
        while time.monotonic() < deadline:
            leader = self.leader()
            try:
                if leader and len(leader.api.get("/v1/catalog/service/consul?consistent")) >= peers:
                    return leader
            except (ApiError, OSError):
                pass
            time.sleep(0.05)
        raise StartError(f"no leader in {self.patience:g} s; a server's log:\n{self.servers[0].log_tail()}")

    def kill_leader(self) -> Agent:
        """SIGKILL to the leader; returns it, to be started again."""
        leader = self.wait_for_leader()
        leader.signal(signal.SIGKILL)
        leader.kill()
        return leader

    def close(self) -> None:
        for server in self.servers:
            server.kill()  # a farewell of each to the others would take seconds
            server.close()


def agent_ports() -> dict[str, int]:
    """Free ports for all that an agent listens on, by the names of Consul's configuration."""
    return {name: free_port() for name in ("http", "dns", "grpc", "server", "serf_lan", "serf_wan")}
