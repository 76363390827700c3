"""`json`: an array of objects, fetched over HTTP."""

from typing import Literal

from discovery.contract import Options
from discovery.fields import HttpUrl, Required


class JsonOptions(Options):
    """Where the array is, and where in each object a value lies: a path of keys joined by dots."""

    kind: Literal["json"] = "json"
    json_endpoint: HttpUrl
    json_host_pattern: Required = "host"
    json_port_pattern: Required = "port"
    json_weight_pattern: Required = "weight"
    json_priority_pattern: Required = "priority"
    json_sni_pattern: Required = "sni"
    json_max_connections_pattern: Required = "max_connections"
