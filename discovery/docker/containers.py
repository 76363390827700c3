"""From what the engine says of a container to its backends."""

import ipaddress
from collections.abc import Iterable

from pydantic import BaseModel, Field

from balancer.backend import BackendSpec
from discovery.docker.options import DockerOptions
from discovery.entry import make_spec
from discovery.line import OPTIONS

WILDCARDS = {"": 4, "0.0.0.0": 4, "::": 6}  # noqa: S104  # compared with, not bound to
LOCAL = {4: "127.0.0.1", 6: "::1"}


class Published(BaseModel):
    """A port of a container; public_port is 0 while it is exposed only."""

    ip: str = Field("", alias="IP")
    private_port: int = Field(alias="PrivatePort")
    public_port: int = Field(0, alias="PublicPort")


class Network(BaseModel):
    """A container's addresses in one network, "" for none."""

    ipv4: str = Field("", alias="IPAddress")
    ipv6: str = Field("", alias="GlobalIPv6Address")


class Networks(BaseModel):
    """By the networks' names."""

    networks: dict[str, Network] | None = Field(None, alias="Networks")


class Container(BaseModel):
    """One of `GET /containers/json` (https://docs.docker.com/engine/api/v1.41/#operation/ContainerList)."""

    id: str = Field(alias="Id", min_length=1)
    names: list[str] = Field([], alias="Names")
    labels: dict[str, str] | None = Field(None, alias="Labels")
    ports: list[Published] | None = Field(None, alias="Ports")
    settings: Networks = Field(Networks(Networks=None), alias="NetworkSettings")

    @property
    def name(self) -> str:
        return self.names[0].lstrip("/") if self.names else self.id[:12]


def backends_of(container: Container, options: DockerOptions, host: str = "") -> list[BackendSpec]:
    """The container's backends; none where it does not have the port, and no label said that it should.

    Args:
        host: what the environment of the container says; "" = nothing.

    Raises:
        ValueError: the container was meant, but has no such address or port, or a label has a bad value.
    """
    port = options.docker_container_private_port
    if network := options.docker_container_network:
        addresses = [(_address(container, network), port)]
    else:
        published = [one for one in container.ports or [] if one.private_port == port and one.public_port]
        if not published and options.docker_container_label:
            raise ValueError(f"does not publish port {port}")
        addresses = list(_reachable(published, host, options))
    labels = container.labels or {}
    values = {name: labels[name] for name in OPTIONS if name in labels}
    return [make_spec(host, port, **values) for host, port in addresses]


def _address(container: Container, name: str) -> str:
    networks = container.settings.networks or {}
    if name not in networks:
        raise ValueError(f"is not in the network {name!r}")
    address = networks[name].ipv4 or networks[name].ipv6
    if not address:
        raise ValueError(f"has no address in the network {name!r}")
    return address


def _reachable(published: list[Published], host: str, options: DockerOptions) -> Iterable[tuple[str, int]]:
    """Host and port of each published port.

    One that is published on all addresses is mostly so twice, for IPv4 and for IPv6, at times on different ports; it
    counts once, in the family of the host, or IPv4 where that is a name.
    """
    wildcards = {WILDCARDS[one.ip] for one in published if one.ip in WILDCARDS}
    endpoint = options.endpoint
    family = _family(host or endpoint.host)
    if family not in wildcards:
        family = min(wildcards, default=4)
    for one in published:
        if one.ip in WILDCARDS:
            if WILDCARDS[one.ip] == family:
                yield host or (LOCAL[family] if endpoint.path else endpoint.host), one.public_port
        else:
            yield host or one.ip, one.public_port


def _family(host: str) -> int:
    try:
        return ipaddress.ip_address(host).version
    except ValueError:
        return 4
