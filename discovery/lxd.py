"""`lxd`: the running containers of an LXD server."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from discovery.contract import Options
from discovery.fields import Flag, IpVersion, LxdUrl, Required, Secret, Text


class LxdOptions(Options):
    """Which server, how to be let in, which containers, and where in each the service listens."""

    kind: Literal["lxd"] = "lxd"
    lxd_server_address: LxdUrl
    """For example "unix:///var/lib/lxd/unix.socket" or "https://lxd-01.example.com:8443"."""
    lxd_server_remote_name: Required = "local"
    """Under this name the server's certificate is kept in the config directory."""
    lxd_server_remote_password: Secret = Secret("")
    """Trust password, where this machine is not trusted yet."""
    lxd_config_directory: Required = "$HOME/.config/lxc"
    """Where the client's certificate and those of servers are; variables of the environment are replaced."""
    lxd_generate_client_certs: Flag = False
    lxd_accept_server_cert: Flag = False
    lxd_container_label_key: Text = ""
    """Only containers that have this setting; "" = all."""
    lxd_container_label_value: Text = ""
    """Only containers whose setting has this value."""
    lxd_container_port: Annotated[int, Field(strict=True, ge=0, le=65535)] = 0
    """The backends' port, where no setting of the container says another; 0 = none."""
    lxd_container_port_key: Text = ""
    """Setting of the container that holds its port."""
    lxd_container_interface: Required = "eth0"
    lxd_container_interface_key: Text = ""
    """Setting of the container that holds the name of the interface."""
    lxd_container_sni_key: Text = ""
    """Setting of the container that holds its sni."""
    lxd_container_address_type: IpVersion = "IPv4"

    @model_validator(mode="after")
    def _some_port(self) -> Self:
        if not self.lxd_container_port and not self.lxd_container_port_key:
            raise ValueError("lxd_container_port or lxd_container_port_key must say where the containers listen")
        return self
