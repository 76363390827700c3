"""pylxd on a transport of ours."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pylxd  # type: ignore[import-untyped]
import requests
from pylxd.exceptions import LXDAPIException  # type: ignore[import-untyped]

from discovery.contract import DiscoveryError
from discovery.daemon.endpoint import Endpoint
from discovery.daemon.transport import Transport
from discovery.json_items import json_items

LARGEST = 1 << 20
"""Characters of a container with all its snapshots; decoding as many takes 10 ms."""


class Client:
    """Blocks: for one thread at a time, and not that of the event loop. Its connection is kept between calls.

    Args:
        timeout: seconds to connect, and to wait for each piece of an answer; None = no limit.
        certificate: file of what the context shows; sent with the password, which makes the server trust it.
        password: trust password or token; "" = none.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        context: ssl.SSLContext | None = None,
        *,
        timeout: float | None = None,
        certificate: Path = Path(),
        password: str = "",
    ) -> None:
        self._endpoint = endpoint
        self._transport = Transport(endpoint, context)
        self._timeout = timeout
        self._certificate = certificate
        self._password = password
        self._api: Any = None

    def containers(self) -> Iterator[Any]:
        """All containers, each with its state, decoded while being iterated over.

        Raises:
            DiscoveryError: the server refused, or trusts the client's certificate neither so nor for the password.
            Exception: whatever the libraries below raise.
        """
        try:
            if self._api is None:
                self._api = self._logged_in()
            if self._api.has_api_extension("container_full"):
                return json_items(_text(self._api.api.containers, recursion=2), ("metadata",), LARGEST)
            return self._one_by_one()
        except LXDAPIException as error:
            raise DiscoveryError(f"{self._endpoint} answered {error.response.status_code}: {error}") from error

    def cut(self) -> None:
        """Whatever is under way fails at once, and so does all that comes."""
        self._transport.cut()

    def _one_by_one(self) -> Iterator[Any]:
        """As LXD before 3.7 has to be asked: for the state of each container by itself."""
        listed = list(json_items(_text(self._api.api.containers, recursion=1), ("metadata",), LARGEST))
        for entry in listed:
            if isinstance(entry, dict) and entry.get("status") == "Running":
                entry["state"] = self._api.api.containers[entry.get("name")].state.get().json()["metadata"]
        return iter(listed)

    def _logged_in(self) -> Any:
        session = requests.Session()
        self._transport.carry(session)
        # pylxd takes the certificate that it introduces from here; the transport shows its own.
        session.cert = (str(self._certificate), "")
        api = pylxd.Client(endpoint=self._endpoint.url, session=session, timeout=self._timeout)
        if not api.trusted and self._password:
            try:
                api.authenticate(self._password)
            except LXDAPIException as error:
                raise DiscoveryError(f"{self._endpoint} refused lxd_server_remote_password: {error}") from None
        if not api.trusted:
            raise DiscoveryError(
                f"{self._endpoint} does not trust {self._certificate}: give lxd_server_remote_password, or add the"
                " certificate there (lxc config trust add)"
                if self._certificate.exists()
                else f"{self._endpoint} asks for a certificate, and {self._certificate} is missing:"
                " lxd_generate_client_certs makes one"
            )
        return api


def _text(node: Any, **parameters: int) -> str:
    """The body of an answer, undecoded: with stream=True pylxd does not look into it."""
    response: requests.Response = node.get(params=parameters, stream=True)
    return response.content.decode()
