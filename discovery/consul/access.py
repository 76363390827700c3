"""Where Consul is and how to be let in."""

import os
import ssl
from dataclasses import dataclass, field

from discovery.contract import DiscoveryError
from discovery.tls import client_context

_LONGEST_TOKEN = 4096


@dataclass(frozen=True, slots=True)
class Access:
    """All that is the same for each request of a client."""

    hosts: tuple[str, ...]
    """At least one "host:port", IPv6 in brackets."""
    timeout: float = 2.0
    """Seconds for all hosts together to answer a read that does not block; 0 = no limit."""
    datacenter: str = ""
    """"" = the agent's own."""
    stale: bool = False
    """Any server may answer, also one that has no leader."""
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    token_file: str = ""
    tls: bool = False
    certificate: str = ""
    key: str = ""
    ca: str = ""

    def current_token(self) -> str:
        """The ACL token to send now: the given one, else that of the given file, else that of the environment.

        As with Consul's own tools CONSUL_HTTP_TOKEN_FILE goes before CONSUL_HTTP_TOKEN; "" = none. Raises
        DiscoveryError for a file that cannot be read or holds something else.
        """
        if self.token:
            return self.token
        source = self.token_file or os.environ.get("CONSUL_HTTP_TOKEN_FILE", "")
        if source:
            try:
                with open(source, encoding="utf-8") as file:
                    token = file.read(_LONGEST_TOKEN).strip()
            except (OSError, ValueError) as error:
                reason = getattr(error, "strerror", None) or "it is no text"
                raise DiscoveryError(f"cannot read the ACL token of {source}: {reason}") from None
        else:
            source, token = "the environment", os.environ.get("CONSUL_HTTP_TOKEN", "").strip()
        if not (token.isascii() and token.isprintable()):
            raise DiscoveryError(f"the ACL token of {source} is not one line of printable characters")
        return token

    def tls_context(self) -> ssl.SSLContext:
        """Reads the certificates' files; raises DiscoveryError naming the one that is no good."""
        return client_context(ca=self.ca, certificate=self.certificate, key=self.key)
