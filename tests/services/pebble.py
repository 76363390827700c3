"""Pebble, Let's Encrypt's ACME CA for tests, beside its challenge test server, for which every name is 127.0.0.1."""

import json
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.services import apt
from tests.services.certificates import Certified
from tests.services.jsonapi import JsonApi
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server, tcp_answers


class ChallengeServer(Server):
    """pebble-challtestsrv: a name server that answers 127.0.0.1 to all, and TXT records that it was given."""

    name = "pebble-challtestsrv"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.dns_port = free_port()

    @property
    def api(self) -> JsonApi:
        """Its management API."""
        return JsonApi(LOOPBACK, self.port)

    def command(self) -> Sequence[str | Path]:
        off = {"http01": "", "https01": "", "tlsalpn01": "", "defaultIPv6": ""}
        options = {"management": f"{LOOPBACK}:{self.port}", "dns01": f"{LOOPBACK}:{self.dns_port}", **off}
        return [apt.command("pebble-challtestsrv", "pebble"), *(f"-{name}={value}" for name, value in options.items())]

    def answers(self) -> bool:
        return tcp_answers(self.port) and tcp_answers(self.dns_port)

    def set_txt(self, name: str, value: str) -> None:
        """Answers `value` to TXT queries for a name, such as `_acme-challenge.example.test.`."""
        self.api.post("/set-txt", {"host": name, "value": value})


class Pebble(Certified, Server):
    """An ACME CA that validates at once, and refuses some nonces, as clients must bear.

    Args:
        challenges: the server whose DNS it asks.
        valid: seconds that its certificates are valid.
        refused_nonces: percent of them.
        external_accounts: key id -> MAC key in base64url; if there are any, new accounts have to be bound to one.
    """

    name = "pebble"

    def __init__(
        self,
        challenges: ChallengeServer,
        *,
        valid: int = 90 * 86_400,
        refused_nonces: int = 5,
        external_accounts: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__()
        self.challenges = challenges
        self.valid = valid
        self.refused_nonces = refused_nonces
        self.external_accounts = dict(external_accounts or {})
        self.port = free_port()
        self.management_port = free_port()
        self.http_port = free_port()
        self.tls_port = free_port()

    @property
    def directory(self) -> str:
        """URL of the ACME directory; its certificate is issued by `authority`."""
        return f"https://localhost:{self.port}/dir"

    @property
    def context(self) -> ssl.SSLContext:
        """For a client of `directory`."""
        return self.authority.context()

    def root(self) -> str:
        """The root certificate of what it issues, in PEM; another one after each start."""
        certificate: str = JsonApi(LOOPBACK, self.management_port, self.context).get("/roots/0")
        return certificate

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("pebble", "pebble")
        settings = {
            "listenAddress": f"{LOOPBACK}:{self.port}",
            "managementListenAddress": f"{LOOPBACK}:{self.management_port}",
            "certificate": str(self.own.certificate),
            "privateKey": str(self.own.key),
            "httpPort": self.http_port,
            "tlsPort": self.tls_port,
            "certificateValidityPeriod": self.valid,
            "externalAccountBindingRequired": bool(self.external_accounts),
            "externalAccountMACKeys": self.external_accounts,
        }
        config = self.folder / "pebble.json"
        config.write_text(json.dumps({"pebble": settings}))
        return [binary, "-config", config, "-dnsserver", f"{LOOPBACK}:{self.challenges.dns_port}"]

    def environment(self) -> Mapping[str, str]:
        # Without reuse, each order has to prove its host again.
        options = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_AUTHZREUSE": "0"}
        return {**os.environ, **options, "PEBBLE_WFE_NONCEREJECT": str(self.refused_nonces)}

    def answers(self) -> bool:
        return "newOrder" in JsonApi(LOOPBACK, self.port, self.context).get("/dir") and bool(self.root())
