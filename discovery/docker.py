"""`docker`: the containers of a Docker engine that publish a given port."""

from typing import Literal, Self

from pydantic import model_validator

from discovery.contract import Options
from discovery.fields import DockerUrl, FileName, Flag, Port, Text


class DockerOptions(Options):
    """Which engine, which containers, which of their ports."""

    kind: Literal["docker"] = "docker"
    docker_endpoint: DockerUrl
    """Of the engine's API, for example "unix:///var/run/docker.sock" or "http://localhost:2375"."""
    docker_container_private_port: Port
    """Port inside of the container; the published port that leads to it is the backend's."""
    docker_container_label: Text = ""
    """Only containers with this label: "name" or "name=value"."""
    docker_container_host_env_var: Text = ""
    """Environment variable of the container that holds the backend's host."""
    docker_tls_enabled: Flag = False
    docker_tls_cert_path: FileName = ""
    docker_tls_key_path: FileName = ""
    docker_tls_cacert_path: FileName = ""

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if bool(self.docker_tls_cert_path) != bool(self.docker_tls_key_path):
            raise ValueError("docker_tls_cert_path and docker_tls_key_path go together: one of them is missing")
        return self
