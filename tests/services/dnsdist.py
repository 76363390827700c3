"""dnsdist: a balancer of DNS that sends PROXY headers over UDP, and understands them."""

import socket
from collections.abc import Sequence
from pathlib import Path

import dns.message
import dns.rdatatype

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server

_CONFIG = """
setLocal("{host}:{port}")
setSecurityPollSuffix("")
"""
_SENDER = """
newServer({{address="{backend}", useProxyProtocol=true, healthCheckMode="up"}})
"""
_RECEIVER = """
setProxyProtocolACL({"127.0.0.0/8"})
addAction(AllRule(), LuaAction(function(query)
  return DNSAction.Spoof, query.remoteaddr:toString()
end))
"""

_LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"
"""A PROXY header that names nobody."""


class _Dnsdist(Server):
    name = "dnsdist"

    def __init__(self, more: str) -> None:
        super().__init__()
        self.port = free_port()
        self._more = more

    @property
    def host(self) -> str:
        """Its "host:port"."""
        return f"{LOOPBACK}:{self.port}"

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("dnsdist", "dnsdist")
        config = self.folder / "dnsdist.conf"
        config.write_text(_CONFIG.format(host=LOOPBACK, port=self.port) + self._more)
        return [binary, "--supervised", "--disable-syslog", "-C", config]


class DnsdistSender(_Dnsdist):
    """Passes questions on to a backend, "host:port", each with a header that tells who has asked."""

    def __init__(self, backend: str) -> None:
        super().__init__(_SENDER.format(backend=backend))

    def answers(self) -> bool:
        return "Listening on" in self.log_text()


class DnsdistReceiver(_Dnsdist):
    """Answers every question for an address with that of who asks. It hears only questions that begin with a header."""

    def __init__(self) -> None:
        super().__init__(_RECEIVER)

    def answers(self) -> bool:
        query = dns.message.make_query("who.test", dns.rdatatype.A)
        with socket.socket(type=socket.SOCK_DGRAM) as asker:
            asker.settimeout(0.2)
            asker.sendto(_LOCAL + query.to_wire(), (LOOPBACK, self.port))
            return query.is_response(dns.message.from_wire(asker.recv(512)))
