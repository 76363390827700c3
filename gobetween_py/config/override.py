"""`[[servers.NAME.backends]]`: what is set by hand about a backend, in the config or over the API."""

from dataclasses import replace
from typing import Annotated, Literal

from pydantic import AfterValidator

from balancer import BackendSpec
from discovery.entry import make_spec
from discovery.fields import Flag, Text
from discovery.line import split_address
from gobetween_py.section import Count, Section

State = Literal["ready", "drain", "maint"]
"""ready: gets connections as discovery and health checks say. drain: gets no new ones, the open ones go on. maint: the
open ones are closed too.
"""


ProxyProtocol = Literal["none", "1", "2"]

SET_BY_HAND = ("weight", "priority", "max_connections", "sni", "proxy_protocol")
"""What of a backend's spec an override may set."""


def _address(text: str) -> str:
    """The one way to write it. Raises ValueError."""
    return make_spec(*split_address(text)).address


Address = Annotated[str, AfterValidator(_address)]
"""host:port, [v6]:port or unix:/path."""


class Override(Section):
    """One backend. What is not given is as discovery says, or as in a backend line without options."""

    address: Address
    """host:port, [v6]:port or unix:/path: which backend."""
    manual: Flag = True
    """Whether it is a backend even when discovery does not find it."""
    weight: Count | None = None
    priority: Count | None = None
    max_connections: Count | None = None
    """Most open connections; 0 = no limit."""
    sni: Text | None = None
    proxy_protocol: ProxyProtocol | None = None
    """Version of the PROXY header that it gets, or none."""
    state: State = "ready"

    @property
    def key(self) -> tuple[str, int]:
        """Which backend it is about."""
        return key_of(self.address)

    def __str__(self) -> str:
        """`10.0.0.1:80 state=drain weight=2`."""
        told = self.model_dump(exclude_defaults=True, exclude={"address"})
        return " ".join([self.address, *(f"{name}={value}" for name, value in told.items())])

    def over(self, spec: BackendSpec) -> BackendSpec:
        """What a source says of the backend, with what is set here in its place."""
        own = {name: getattr(self, name) for name in SET_BY_HAND}
        return replace(spec, **{name: value for name, value in own.items() if value is not None})


def key_of(address: str) -> tuple[str, int]:
    """Host and port of an address, spelled in any way. Raises ValueError."""
    return make_spec(*split_address(address)).key
