"""The docker SDK on a transport of ours."""

import re
import ssl
from typing import Any

import docker
from docker.constants import MINIMUM_DOCKER_API_VERSION
from docker.errors import APIError, NotFound

from discovery.contract import DiscoveryError
from discovery.daemon.endpoint import Endpoint
from discovery.daemon.transport import Transport

SERVING = {"status": ["running"], "health": ["none", "starting", "healthy"]}
"""Filter of the containers that are backends: not paused, not restarting, not known to be unhealthy."""

_VERSION = re.compile(r"[0-9]{1,3}\.[0-9]{1,3}")


class Client:
    """Blocks: for one thread at a time, and not that of the event loop. Its connection is kept between calls.

    Args:
        timeout: seconds to connect, and to wait for each piece of an answer; None = no limit.
        hosts: by container, what its environment says: filled here, for the next client too.
    """

    def __init__(
        self, endpoint: Endpoint, context: ssl.SSLContext | None, timeout: float | None, hosts: dict[str, str]
    ) -> None:
        self._endpoint = endpoint
        self._transport = Transport(endpoint, context)
        self._timeout = timeout
        self._api: docker.APIClient | None = None
        self._hosts = hosts

    def containers(self, label: str, variable: str) -> list[tuple[Any, str]]:
        """Each container that serves, as the engine says it, with the value of that variable of its environment.

        Args:
            label: they must have, "name" or "name=value"; "" = none.
            variable: "" = none.

        Raises:
            DiscoveryError: the engine refused, or its answer is none of a Docker engine.
            Exception: whatever the libraries below raise.
        """
        try:
            if self._api is None:
                self._api = self._speaking(self._version())
            listed = self._api.containers(filters=SERVING | ({"label": [label]} if label else {}))
            if not isinstance(listed, list):
                raise DiscoveryError(f"{self._endpoint}: the answer is no array of containers")
            return self._with_hosts(self._api, listed, variable) if variable else [(entry, "") for entry in listed]
        except APIError as error:
            raise DiscoveryError(f"{self._endpoint} answered {error.status_code}: {error.explanation}") from error

    def cut(self) -> None:
        """Whatever is under way fails at once, and so does all that comes."""
        self._transport.cut()

    def _version(self) -> str:
        """Of the API, as the engine speaks it. Not the SDK's "auto": that asks before it has our transport."""
        answer = self._speaking(MINIMUM_DOCKER_API_VERSION).version(api_version=False)
        version = answer.get("ApiVersion") if isinstance(answer, dict) else None
        if not isinstance(version, str) or not _VERSION.fullmatch(version):
            raise DiscoveryError(f"{self._endpoint} is no Docker engine: it does not tell its ApiVersion")
        return version

    def _speaking(self, version: str) -> docker.APIClient:
        api = docker.APIClient(self._endpoint.url, version=version)
        api.timeout = self._timeout  # type: ignore[assignment]  # None is no limit, to requests
        self._transport.carry(api)
        return api

    def _with_hosts(self, api: docker.APIClient, listed: list[Any], variable: str) -> list[tuple[Any, str]]:
        """Asks for each container once: an environment never changes."""
        keys = [_id(entry) for entry in listed]
        for gone in self._hosts.keys() - set(keys):
            del self._hosts[gone]
        found = []
        for entry, key in zip(listed, keys, strict=True):
            if key and key not in self._hosts:
                try:
                    self._hosts[key] = _variable(api.inspect_container(key), variable)
                except NotFound:  # it ended since the list was made
                    continue
            found.append((entry, self._hosts.get(key, "")))
        return found


def _id(entry: Any) -> str:
    found = entry.get("Id") if isinstance(entry, dict) else None
    return found if isinstance(found, str) else ""


def _variable(container: dict[str, Any], name: str) -> str:
    environment: list[str] = container["Config"]["Env"] or []
    return dict(line.split("=", 1) for line in environment if "=" in line).get(name, "")
