"""`json`: an array of objects, fetched over HTTP."""

from typing import Literal

from pydantic import Field

from discovery.contract import Answer
from discovery.document import Path, Paths, parse_path, specs_of
from discovery.fields import FileName, Flag, Secret, Text
from discovery.http import HttpDiscovery, HttpEndpoint, HttpHeaders, HttpOptions
from discovery.json_items import json_items


class JsonOptions(HttpOptions):
    """Where the array is, and where in each object a value lies: paths of keys joined by dots (discovery/document.py).

    An empty path of a value is its default.
    """

    kind: Literal["json"] = "json"
    json_endpoint: HttpEndpoint
    json_root_pattern: Text = ""
    """Where in the document the array lies; "" = the document is the array."""
    json_host_pattern: Text = "host"
    json_port_pattern: Text = "port"
    json_weight_pattern: Text = "weight"
    json_priority_pattern: Text = "priority"
    json_sni_pattern: Text = "sni"
    json_max_connections_pattern: Text = "max_connections"
    json_headers: HttpHeaders = Field(default_factory=dict)
    """Sent with each request."""
    json_auth_username: Text = ""
    json_auth_password: Secret = Secret("")
    json_tls_cacert_path: FileName = ""
    """Only what these CAs signed is trusted; "" = the system's."""
    json_tls_cert_path: FileName = ""
    json_tls_key_path: FileName = ""
    json_tls_ignore_verify: Flag = False


class Json(HttpDiscovery):
    """Reads the array item by item; one that is no backend is skipped."""

    Options = JsonOptions

    def __init__(self, options: JsonOptions) -> None:
        super().__init__(options)
        self._root = parse_path(options.json_root_pattern)
        self._paths = Paths(
            host=_path(options.json_host_pattern, "host"),
            port=_path(options.json_port_pattern, "port"),
            weight=_path(options.json_weight_pattern, "weight"),
            priority=_path(options.json_priority_pattern, "priority"),
            max_connections=_path(options.json_max_connections_pattern, "max_connections"),
            sni=_path(options.json_sni_pattern, "sni"),
        )

    async def parse(self, text: str) -> Answer:
        """The backends of the array at the root pattern."""
        return await specs_of(json_items(text, self._root), self.skipped.add, self._paths)


def _path(text: str, default: str) -> Path:
    return parse_path(text or default)
