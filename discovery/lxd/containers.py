"""From what the server says of a container to its backend."""

from pydantic import BaseModel

from balancer.backend import BackendSpec
from discovery.entry import make_spec
from discovery.lxd.options import LxdOptions

FAMILIES = {"IPv4": "inet", "IPv6": "inet6"}


class NoAddressError(ValueError):
    """A container that runs has no address; it may be about to get one, of which no event tells."""


class Address(BaseModel):
    """Of an interface; the scope is global, link or local."""

    family: str
    address: str
    scope: str


class Interface(BaseModel):
    """Of a container."""

    addresses: list[Address] | None = None


class State(BaseModel):
    """The interfaces by name; None while the container does not run."""

    network: dict[str, Interface] | None = None


class Container(BaseModel):
    """One of `GET /1.0/containers?recursion=2` (https://documentation.ubuntu.com/lxd/en/latest/rest-api/)."""

    name: str
    status: str
    config: dict[str, str] = {}
    expanded_config: dict[str, str] = {}
    """The container's own configuration above that of its profiles."""
    state: State | None = None

    def setting(self, key: str) -> str:
        """Of the configuration; "" where there is none, or no key."""
        return (self.expanded_config or self.config).get(key, "") if key else ""


def is_wanted(container: Container, options: LxdOptions) -> bool:
    """Whether the container has the label."""
    found, value = container.setting(options.lxd_container_label_key), options.lxd_container_label_value
    return not options.lxd_container_label_key or (found == value if value else found != "")


def backend_of(container: Container, options: LxdOptions) -> BackendSpec:
    """The container's backend. Raises ValueError saying why it has none; NoAddressError if that may change silently."""
    if container.status != "Running":
        raise ValueError(f"is not running but {container.status.lower()[:40]!r}")
    port = container.setting(options.lxd_container_port_key) or options.lxd_container_port
    if not port:
        raise ValueError(f"has no {options.lxd_container_port_key}, and there is no lxd_container_port")
    sni = container.setting(options.lxd_container_sni_key)
    version = container.setting(options.lxd_container_proxy_protocol_key)
    return make_spec(_address(container, options), port, sni=sni, proxy_protocol=version)


def _address(container: Container, options: LxdOptions) -> str:
    interface = container.setting(options.lxd_container_interface_key) or options.lxd_container_interface
    networks = (container.state.network if container.state else None) or {}
    wanted = FAMILIES[options.lxd_container_address_type]
    for one in networks[interface].addresses or [] if interface in networks else []:
        if one.family == wanted and one.scope == "global":
            return one.address
    raise NoAddressError(f"has no {options.lxd_container_address_type} address on {interface}")
