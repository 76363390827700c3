"""nginx: an HTTP server with files, on IPv4, IPv6 and a UNIX socket; and a TCP proxy that sends PROXY headers."""

import hashlib
import http.client
import os
from collections.abc import Sequence
from pathlib import Path

from tests.services import apt
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
  client_max_body_size 0;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  server {{
    listen {host}:{port} backlog=4096;
    listen [::1]:{port} backlog=4096;
    listen unix:{socket} backlog=4096;
    listen {host}:{proxied} proxy_protocol backlog=4096;
    root {root};
    location /upload/ {{ dav_methods PUT; create_full_put_path on; }}
    location = /name {{ return 200 "{label}"; }}
    location = /peer {{ return 200 "$remote_addr:$remote_port"; }}
    location = /client {{ return 200 "$proxy_protocol_addr:$proxy_protocol_port"; }}
  }}
}}
"""

_STREAM = """
load_module {module};
daemon off;
user root;
worker_processes 1;
pid {folder}/pid;
error_log stderr warn;
events {{ }}
stream {{
  server {{
    listen {host}:{port};
    proxy_pass {backend};
    proxy_protocol on;
  }}
}}
"""
_MODULE = Path("/usr/lib/nginx/modules/ngx_stream_module.so")


class Nginx(Server):
    """Serves the files that write() made, and takes others by PUT below `/upload/`.

    `/name` answers `label`, `/peer` the address that the connection came from. On the port `proxied` connections have
    to begin with a PROXY header, and `/client` answers the client that it names.

    Args:
        label: tells several servers apart.
    """

    name = "nginx"

    def __init__(self, label: str = "nginx") -> None:
        super().__init__()
        self.label = label
        self.port = free_port()
        self.proxied = free_port()
        self.socket = self.folder / "socket"
        self.root = self.folder / "www"
        self.root.mkdir()

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("nginx", "nginx")
        self.socket.unlink(missing_ok=True)  # a killed nginx leaves it, and does not bind over it
        config = self.folder / "nginx.conf"
        config.write_text(
            _CONFIG.format(
                folder=self.folder,
                host=LOOPBACK,
                port=self.port,
                proxied=self.proxied,
                socket=self.socket,
                root=self.root,
                label=self.label,
            )
        )
        return [binary, "-p", self.folder, "-e", "stderr", "-c", config]

    def answers(self) -> bool:
        connection = http.client.HTTPConnection(LOOPBACK, self.port, timeout=1)
        try:
            connection.request("GET", "/name")
            return connection.getresponse().read() == self.label.encode()
        except http.client.HTTPException:
            return False
        finally:
            connection.close()

    @property
    def url(self) -> str:
        """Base URL without a slash at the end."""
        return f"http://{LOOPBACK}:{self.port}"

    def write(self, path: str, content: bytes) -> str:
        """Makes `content` the file that is served at `/path`; returns its SHA-256 in hex."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        return hashlib.sha256(content).hexdigest()

    def write_random(self, path: str, size: int) -> str:
        """Serves `size` random bytes at `/path`; returns their SHA-256 in hex."""
        return self.write(path, os.urandom(size))


class NginxSender(Server):
    """Relays connections to a backend, "host:port", with a PROXY header of version 1."""

    name = "nginx-stream"

    def __init__(self, backend: str) -> None:
        super().__init__()
        self.backend = backend
        self.port = free_port()

    def command(self) -> Sequence[str | Path]:
        binary = apt.command("nginx", "nginx")
        if not _MODULE.exists():
            apt.install("libnginx-mod-stream")
        config = self.folder / "nginx.conf"
        config.write_text(
            _STREAM.format(module=_MODULE, folder=self.folder, host=LOOPBACK, port=self.port, backend=self.backend)
        )
        return [binary, "-p", self.folder, "-e", "stderr", "-c", config]

    def answers(self) -> bool:
        return tcp_answers(self.port)
