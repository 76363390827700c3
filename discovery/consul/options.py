"""The keys of `kind = "consul"`."""

from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BeforeValidator, Field, PlainSerializer, WithJsonSchema, model_validator

from discovery.contract import Options
from discovery.fields import FileName, Flag, HostPort, Required, Secret, Text

Item = TypeVar("Item")


def _separated(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(","))
    if not isinstance(value, list | tuple):
        raise ValueError("must be text, or a list of texts")
    if not value:
        raise ValueError("must not be empty")
    return value


Several = Annotated[
    tuple[Item, ...],
    Field(strict=False),
    BeforeValidator(_separated),
    PlainSerializer(",".join, return_type=str),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}),
]
"""One or more texts: a list, or one text with commas between them, which is also how they are dumped."""


class ConsulOptions(Options):
    """Which agents, which services, and how to be let in."""

    kind: Literal["consul"] = "consul"
    consul_host: Several[HostPort]
    """Consul's HTTP API as host:port; several are tried in turn, the one that answered last first."""
    consul_service_name: Several[Required]
    """The instances of all of these services together are the backends."""
    consul_service_tag: Text = ""
    """Only instances with this tag."""
    consul_service_passing_only: Flag = False
    """Only instances whose checks all pass."""
    consul_datacenter: Text = ""
    """Also spelled consul_service_datacenter; "" = the agent's own."""
    consul_service_datacenter: Text = ""
    """The other spelling of consul_datacenter."""
    consul_allow_stale: Flag = False
    """Any server may answer, also one that lost its leader: fresh or not, but there during an election."""
    consul_auth_username: Text = ""
    """HTTP basic auth, for a Consul behind a reverse proxy."""
    consul_auth_password: Secret = Secret("")
    consul_acl_token: Secret = Secret("")
    """Without it and without a file: CONSUL_HTTP_TOKEN_FILE or CONSUL_HTTP_TOKEN of the environment."""
    consul_acl_token_file: FileName = ""
    """File that holds the ACL token and nothing else; read again for each request."""
    consul_tls_enabled: Flag = False
    """https instead of http."""
    consul_tls_cert_path: FileName = ""
    consul_tls_key_path: FileName = ""
    consul_tls_cacert_path: FileName = ""
    """Nothing but this CA is trusted; "" = the system's."""

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

    @model_validator(mode="after")
    def _one_token(self) -> Self:
        if self.consul_acl_token.get_secret_value() and self.consul_acl_token_file:
            raise ValueError("consul_acl_token and consul_acl_token_file are both given: give one")
        return self

    @property
    def datacenter(self) -> str:
        """The datacenter asked for, whichever way it was spelled; "" = the agent's own."""
        return self.consul_datacenter or self.consul_service_datacenter
