"""`openssl s_server`: TLS as plain as can be, for probes and https checks."""

from collections.abc import Sequence
from pathlib import Path

from tests.services import apt
from tests.services.certificates import Certified
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server, tcp_answers


class TlsServer(Certified, Server):
    """Sends each line back with its characters reversed, or a page over HTTP.

    Args:
        page: answers every request with a page, instead.
        ask: takes only clients with a certificate of its authority.
    """

    name = "s_server"

    def __init__(self, *, page: bool = False, ask: bool = False) -> None:
        super().__init__()
        self.port = free_port()
        self._mode = "-www" if page else "-rev"
        self._ask = ask

    def command(self) -> Sequence[str | Path]:
        options: list[str | Path] = ["-accept", f"{LOOPBACK}:{self.port}"]
        options += ["-cert", self.own.certificate, "-key", self.own.key]
        if self._ask:
            options += ["-CAfile", self.authority.ca, "-Verify", "1", "-verify_return_error"]
        return [apt.command("openssl", "openssl"), "s_server", "-quiet", self._mode, *options]

    def answers(self) -> bool:
        return tcp_answers(self.port)
