"""Where a daemon listens: a UNIX socket, http or https."""

import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from discovery.contract import DiscoveryError

CONNECT_TIMEOUT = 10.0
"""Seconds to connect for events; what comes then may take any time."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Of the daemon's API. `path` is the UNIX socket's; else host and port count, over TLS where `secure`."""

    path: str = ""
    host: str = "localhost"
    port: int = 80
    secure: bool = False

    @classmethod
    def parse(cls, url: str, *, port: int, secure_port: int, secure: bool = False) -> "Endpoint":
        """From `unix:///path` or `scheme://host[:port]`, https being secure as is any other with `secure`.

        Args:
            port, secure_port: what counts where the URL has none.

        Raises:
            ValueError: the URL has no host, or a user, a path or a query; it does not repeat them.
        """
        if url.startswith("unix://"):
            return cls(path=url.removeprefix("unix://"))
        parts = urlsplit(url)
        if not parts.hostname:
            raise ValueError("has no host: write scheme://host:port")
        if parts.username is not None or parts.path.strip("/") or parts.query or parts.fragment:
            raise ValueError("has more than host and port: write scheme://host:port")
        secure = secure or parts.scheme == "https"
        return cls(host=parts.hostname, port=parts.port or (secure_port if secure else port), secure=secure)

    @property
    def url(self) -> str:
        """Base of HTTP requests; for a UNIX socket with a host that nobody looks up."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.secure else 'http'}://{host}:{self.port}"

    def __str__(self) -> str:
        return f"unix://{self.path}" if self.path else self.url

    def session(self, context: ssl.SSLContext | None) -> aiohttp.ClientSession:
        """For what waits for events. Only connecting has a time limit. `context` counts where `secure`."""
        connector = (
            aiohttp.UnixConnector(self.path) if self.path else aiohttp.TCPConnector(ssl=context or True, limit=1)
        )
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT)
        return aiohttp.ClientSession(self.url, connector=connector, timeout=timeout)

    def failure(self, error: Exception) -> DiscoveryError:
        """What a library raised, as one line that says where."""
        inner = root_cause(error)
        if isinstance(inner, ssl.SSLCertVerificationError):
            return DiscoveryError(f"{self} is not trusted: {inner.verify_message}")
        if isinstance(inner, LookupError | TypeError | AttributeError):
            return DiscoveryError(f"{self}: the answer is not as expected ({type(inner).__name__}: {inner})")
        return DiscoveryError(f"{self}: {getattr(inner, 'strerror', None) or str(inner) or type(inner).__name__}")


def root_cause(error: BaseException) -> BaseException:
    """The first of the errors that led to this one: requests and urllib3 wrap it several times."""
    while below := error.__cause__ or (None if error.__suppress_context__ else error.__context__):
        error = below
    return error
