"""nginx as an HTTPS server: a backend that speaks TLS."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

from tests.services import apt
from tests.services.certificates import Certified
from tests.services.ports import free_port
from tests.services.process import LOOPBACK, Server, tcp_answers

_CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off;
  sendfile on;
  keepalive_requests 1000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port} ssl backlog=4096;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    ssl_client_certificate {ca};
    ssl_verify_client optional;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_cache shared:tests:1m;
    root {root};
    location = /name {{ return 200 "nginx"; }}
    location = /tls {{ return 200 "$ssl_protocol $ssl_server_name $ssl_client_verify $ssl_session_reused"; }}
  }}
}}
"""


class NginxTls(Certified, Server):
    """Serves the files that write_random() made, over TLS 1.2 and 1.3, with a certificate for "localhost".

    `/tls` answers the version, the name that was asked for, SUCCESS or NONE of the client's certificate, and `r` for a
    session that was resumed, else `.`.
    """

    name = "nginx"

    def __init__(self) -> None:
        super().__init__()
        self.port = free_port()
        self.root = self.folder / "www"
        self.root.mkdir()

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("nginx", "nginx")
        config = self.folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=self.folder,
                host=LOOPBACK,
                port=self.port,
                root=self.root,
                certificate=self.own.certificate,
                key=self.own.key,
                ca=self.authority.ca,
            )
        )
        return [binary, "-p", self.folder, "-e", "stderr", "-c", config]

    def answers(self) -> bool:
        return tcp_answers(self.port)

    def write_random(self, path: str, size: int) -> str:
        """Serves `size` random bytes at `/path`; returns their SHA-256 in hex."""
        content = os.urandom(size)
        (self.root / path).write_bytes(content)
        return hashlib.sha256(content).hexdigest()
