"""HAProxy: sends PROXY protocol, speaks TLS, and is what the balancer is measured against."""

from collections.abc import Sequence
from pathlib import Path

from tests.services import apt
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server, tcp_answers

_CONFIG = """
global
  nbthread 1
  maxconn 4000
  log stderr format raw local0 notice
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen web
  bind {host}:{port} {bind}
  balance roundrobin
{servers}
"""


class Haproxy(Server):
    """One thread, TCP, round robin.

    Args:
        backends: "host:port" each.
        bind: options of its listener, for instance "accept-proxy" or "ssl crt FILE".
        server: options of each of its backends, for instance "send-proxy-v2".
    """

    name = "haproxy"

    def __init__(self, *backends: str, bind: str = "", server: str = "") -> None:
        super().__init__()
        self.port = free_port()
        self.backends = backends
        self.bind = bind
        self.server = server

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("haproxy", "haproxy")
        config = self.folder / "haproxy.cfg"
        servers = [f"  server s{number} {backend} {self.server}" for number, backend in enumerate(self.backends)]
        config.write_text(_CONFIG.format(host=LOOPBACK, port=self.port, bind=self.bind, servers="\n".join(servers)))
        return [binary, "-db", "-f", config]

    def answers(self) -> bool:
        return tcp_answers(self.port)
