"""The keys of `docker`."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, model_validator

from discovery.contract import Options
from discovery.daemon.endpoint import Endpoint
from discovery.fields import DockerUrl, FileName, Flag, Port, Text


def _endpoint(url: str, *, secure: bool = False) -> Endpoint:
    return Endpoint.parse(url, port=2375, secure_port=2376, secure=secure)


def _checked(url: str) -> str:
    _endpoint(url)
    return url


class DockerOptions(Options):
    """Which engine, which containers, which of their ports."""

    kind: Literal["docker"] = "docker"
    docker_endpoint: Annotated[DockerUrl, AfterValidator(_checked)]
    """Of the engine's API, for example "unix:///var/run/docker.sock" or "http://localhost:2375"."""
    docker_container_private_port: Port
    """Port inside of the container; the published port that leads to it is the backend's."""
    docker_container_label: Text = ""
    """Only containers with this label: "name" or "name=value"."""
    docker_container_host_env_var: Text = ""
    """Environment variable of the container that holds the backend's host."""
    docker_container_network: Text = ""
    """Network whose addresses of the containers are taken, with the private port, published or not."""
    docker_tls_enabled: Flag = False
    """TLS whatever the scheme of the endpoint, with the files below."""
    docker_tls_cert_path: FileName = ""
    docker_tls_key_path: FileName = ""
    docker_tls_cacert_path: FileName = ""
    """Issuer of the engine's certificate; "" = those that the system trusts."""

    @property
    def endpoint(self) -> Endpoint:
        """Where the engine listens."""
        return _endpoint(self.docker_endpoint, secure=self.docker_tls_enabled)

    @model_validator(mode="after")
    def _belong_together(self) -> Self:
        if bool(self.docker_tls_cert_path) != bool(self.docker_tls_key_path):
            raise ValueError("docker_tls_cert_path and docker_tls_key_path go together: one of them is missing")
        if self.docker_tls_enabled and self.docker_endpoint.startswith("unix://"):
            raise ValueError("docker_tls_enabled needs an endpoint over TCP: a UNIX socket has no TLS")
        if self.docker_container_network and self.docker_container_host_env_var:
            raise ValueError(
                "docker_container_network and docker_container_host_env_var both say where the host is from: give one"
            )
        return self
