"""What the kinds that speak TLS share: their keys, and the context made from them."""

import asyncio
import ssl
from typing import Any, Self

from pydantic import model_validator

from discovery.contract import DiscoveryError
from discovery.tls import client_context
from gobetween_py.healthcheck.contract import NoVerdictError, Options, Target
from gobetween_py.section import require_together


class TlsOptions(Options):
    """Options of a kind that has these keys, each with the kind's name before it:

    `_tls_server_name`; `_tls_cacert_path`, beside which no other CA is trusted; `_tls_cert_path` and `_tls_key_path`,
    of the client; `_tls_ignore_verify`.
    """

    def tls(self, key: str) -> Any:
        """The value of such a key."""
        return getattr(self, f"{self.kind}_tls_{key}")

    @model_validator(mode="after")
    def _certificate_with_its_key(self) -> Self:
        require_together(self, f"{self.kind}_tls_cert_path", f"{self.kind}_tls_key_path")
        return self


class TlsClient:
    """The client's side of TLS for all checks of a server."""

    def __init__(self, options: TlsOptions) -> None:
        self._options = options
        self._context: ssl.SSLContext | None = None
        self._making = asyncio.Lock()

    async def context(self) -> ssl.SSLContext:
        """Made once; from files that cannot be read now it is tried again. Raises NoVerdictError."""
        if self._context is None:
            async with self._making:
                if self._context is None:
                    self._context = await asyncio.to_thread(self._make)
        return self._context

    def _make(self) -> ssl.SSLContext:
        tls = self._options.tls
        try:
            return client_context(
                ca=tls("cacert_path"),
                certificate=tls("cert_path"),
                key=tls("key_path"),
                verify=not tls("ignore_verify"),
            )
        except DiscoveryError as error:
            raise NoVerdictError(str(error)) from error

    def server_name(self, target: Target) -> str:
        """The configured name, else the one that the backend is meant for, else its host; "" for a UNIX socket."""
        host = "" if target.host.startswith("unix:") else target.host
        name: str = self._options.tls("server_name") or target.sni or host
        return name
