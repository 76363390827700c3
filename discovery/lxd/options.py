"""The keys of `lxd`."""

import os
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from discovery.contract import Options
from discovery.daemon.endpoint import Endpoint
from discovery.fields import Flag, IpVersion, LxdUrl, Required, Secret, Text


def _endpoint(url: str) -> Endpoint:
    return Endpoint.parse(url, port=8443, secure_port=8443)


def _checked(url: str) -> str:
    _endpoint(url)
    return url


def _file_name(name: str) -> str:
    if "/" in name or "\0" in name or name in {".", ".."}:
        raise ValueError("is no name of a file, as which it is used in lxd_config_directory")
    return name


class LxdOptions(Options):
    """Which server, how to be let in, which containers, and where in each the service listens."""

    kind: Literal["lxd"] = "lxd"
    lxd_server_address: Annotated[LxdUrl, AfterValidator(_checked)]
    """For example "unix:///var/lib/lxd/unix.socket" or "https://lxd-01.example.com:8443"."""
    lxd_server_remote_name: Annotated[Required, AfterValidator(_file_name)] = "local"
    """Under this name the server's certificate is in the config directory: servercerts/NAME.crt."""
    lxd_server_remote_password: Secret = Secret("")
    """Trust password or token, presented where the server does not trust the client's certificate yet."""
    lxd_config_directory: Required = "$HOME/.config/lxc"
    """Where the certificates of client and servers are, as for lxc; variables of the environment are replaced."""
    lxd_generate_client_certs: Flag = False
    """Make client.crt and client.key in the config directory, where they are missing."""
    lxd_accept_server_cert: Flag = False
    """Accept the certificate that the server shows first, keep it in the config directory, and no other from then."""
    lxd_container_label_key: Text = ""
    """Only containers that have this setting; "" = all."""
    lxd_container_label_value: Text = ""
    """Only containers whose setting has this value; "" = any."""
    lxd_container_port: Annotated[int, Field(strict=True, ge=0, le=65535)] = 0
    """The backends' port, where no setting of the container says another; 0 = none."""
    lxd_container_port_key: Text = ""
    """Setting of the container that holds its port."""
    lxd_container_interface: Required = "eth0"
    lxd_container_interface_key: Text = ""
    """Setting of the container that holds the name of the interface."""
    lxd_container_sni_key: Text = ""
    """Setting of the container that holds its sni."""
    lxd_container_proxy_protocol_key: Text = ""
    """Setting of the container that holds the version of the PROXY header that it gets."""
    lxd_container_address_type: IpVersion = "IPv4"

    @property
    def endpoint(self) -> Endpoint:
        """Where the server listens."""
        return _endpoint(self.lxd_server_address)

    @property
    def folder(self) -> Path:
        """The config directory."""
        return Path(os.path.expandvars(self.lxd_config_directory)).expanduser()

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if not self.lxd_container_port and not self.lxd_container_port_key:
            raise ValueError("lxd_container_port or lxd_container_port_key must say where the containers listen")
        if self.lxd_container_label_value and not self.lxd_container_label_key:
            raise ValueError("lxd_container_label_value needs lxd_container_label_key: which setting has that value?")
        return self
