"""The docker SDK on a transport of ours."""

import re
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
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
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None, timeout: float | None) -> None:
        self._endpoint = endpoint
        self._transport = Transport(endpoint, context)
        self._timeout = timeout
        self._api: docker.APIClient | None = None

    def containers(self, label: str) -> Iterator[Any]:
        """Those that serve, as the engine says them, decoded while being iterated over.

        Args:
            label: they must have, "name" or "name=value"; "" = none.

        Raises:
            DiscoveryError: the engine refused, or its answer is none of a Docker engine.
            Exception: whatever the libraries below raise.
        """
        with self._named():
            listed = self._connected().containers(filters=SERVING | ({"label": [label]} if label else {}))
            if not isinstance(listed, Iterator):  # as our transport gives arrays
                raise DiscoveryError(f"{self._endpoint}: the answer is no array of containers")
            return listed

    def environments(self, variable: str, containers: Iterable[str], into: dict[str, str]) -> None:
        """Puts the variable's value, "" for none, into the dictionary, by the containers' ids; not of those that ended.

        Raises as `containers` does.
        """
        with self._named():
            for key in containers:
                try:
                    environment: list[str] = self._connected().inspect_container(key)["Config"]["Env"] or []
                except NotFound:
                    continue
                into[key] = dict(line.split("=", 1) for line in environment if "=" in line).get(variable, "")

    def cut(self) -> None:
        """Whatever is under way fails at once, and so does all that comes."""
        self._transport.cut()

    def _connected(self) -> docker.APIClient:
        if self._api is None:
            self._api = self._speaking(self._version())
        return self._api

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

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except APIError as error:
            raise DiscoveryError(f"{self._endpoint} answered {error.status_code}: {error.explanation}") from error
