"""The keys of `kind = "consul"`."""

from typing import Literal, Self

from pydantic import model_validator

from discovery.contract import Options
from discovery.fields import FileName, Flag, HostPort, Required, Secret, Text


class ConsulOptions(Options):
    """Which agent, which service, and how to be let in."""

    kind: Literal["consul"] = "consul"
    consul_host: HostPort
    """Consul's HTTP API as host:port."""
    consul_service_name: Required
    consul_service_tag: Text = ""
    """Only instances with this tag."""
    consul_service_passing_only: Flag = False
    """Only instances whose checks all pass."""
    consul_datacenter: Text = ""
    """Also spelled consul_service_datacenter; "" = the agent's own."""
    consul_service_datacenter: Text = ""
    """The other spelling of consul_datacenter."""
    consul_auth_username: Text = ""
    consul_auth_password: Secret = Secret("")
    consul_acl_token: Secret = Secret("")
    consul_tls_enabled: Flag = False
    consul_tls_cert_path: FileName = ""
    consul_tls_key_path: FileName = ""
    consul_tls_cacert_path: FileName = ""

    @model_validator(mode="after")
    def _one_datacenter(self) -> Self:
        both = {self.consul_datacenter, self.consul_service_datacenter} - {""}
        if len(both) > 1:
            raise ValueError("consul_datacenter and consul_service_datacenter mean the same, but differ: give one")
        return self

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if bool(self.consul_tls_cert_path) != bool(self.consul_tls_key_path):
            raise ValueError("consul_tls_cert_path and consul_tls_key_path go together: one of them is missing")
        return self

    @property
    def datacenter(self) -> str:
        """The datacenter asked for, whichever way it was spelled; "" = the agent's own."""
        return self.consul_datacenter or self.consul_service_datacenter
