"""The HTTP connection below an SDK that is built on requests.

    Transport(endpoint, context).carry(session)

Such an SDK blocks, so it runs in a thread; a thread cannot be stopped, but its sockets can be shut down, and then it
ends at once: that is `cut`, for the moment a fetch has taken too long. Everything goes to the one endpoint with the
one TLS context, whatever the URL, the session's `verify`, proxies or REQUESTS_CA_BUNDLE say.
"""

import contextlib
import json
import socket
import ssl
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3 import BaseHTTPResponse, HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection

from discovery.contract import MAX_ANSWER
from discovery.daemon.endpoint import Endpoint
from discovery.json_items import json_items

LARGEST_DECODED = 1 << 20
"""Characters of JSON that is no array: decoding it cannot be interrupted. 10 ms."""


class TooLargeError(OSError):
    """An answer exceeds MAX_ANSWER."""


class Transport(HTTPAdapter):
    """A requests adapter that knows one daemon. One connection is kept between requests.

    Args:
        context: of TLS; counts where the endpoint is secure.
    """

    def __init__(self, endpoint: Endpoint, context: ssl.SSLContext | None = None) -> None:
        super().__init__()
        self._sockets = _Sockets()
        self._pool: HTTPConnectionPool
        if endpoint.secure:
            self._pool = _SecurePool(endpoint.host, endpoint.port, ssl_context=context, sockets=self._sockets)
        else:
            self._pool = _Pool(endpoint.host, endpoint.port, sockets=self._sockets, path=endpoint.path)

    def carry(self, session: requests.Session) -> None:
        """Everything that the session sends goes this way, and nothing is added from the environment."""
        session.adapters.clear()
        session.mount("", self)
        session.trust_env = False
        session.max_redirects = 0

    def cut(self) -> None:
        """For good: shuts down the connections, so that whatever waits for them fails, and refuses new ones."""
        self._sockets.cut()
        self._pool.close()

    def close(self) -> None:
        """Of the session: the same."""
        self.cut()

    def get_connection_with_tls_context(self, *_: Any, **__: Any) -> HTTPConnectionPool:
        return self._pool

    def cert_verify(self, *_: Any) -> None:
        """The context has it all."""

    def request_url(self, request: requests.PreparedRequest, *_: Any) -> str:
        return request.path_url

    def build_response(self, req: requests.PreparedRequest, resp: BaseHTTPResponse) -> requests.Response:
        answer = _Answer()
        answer.__dict__.update(super().build_response(req, resp).__dict__)
        return answer


class _Answer(requests.Response):
    """Of a bounded size, and read without holding up other threads."""

    def iter_content(self, chunk_size: int | None = 1, decode_unicode: bool = False) -> Iterator[Any]:
        size = 0
        for chunk in super().iter_content(chunk_size, decode_unicode):
            size += len(chunk)
            if size > MAX_ANSWER:
                self.close()
                raise TooLargeError(f"the answer is larger than {MAX_ANSWER >> 20} MiB")
            yield chunk

    def json(self, **_: Any) -> Any:
        """An array is an iterator over its items, which raises ValueError or RecursionError where it breaks off.

        Decoding megabytes at once would hold up other threads, and so would freeing what they become.
        """
        try:
            text = self.content.decode()
            if text[:64].lstrip().startswith("["):
                return json_items(text)
            if len(text) > LARGEST_DECODED:
                raise ValueError(f"an object of {len(text)} characters; {LARGEST_DECODED} are allowed")
            return json.loads(text)
        except json.JSONDecodeError as error:
            raise requests.exceptions.JSONDecodeError(error.msg, error.doc, error.pos) from None
        except (ValueError, RecursionError) as error:
            raise requests.exceptions.JSONDecodeError(str(error), "", 0) from None


class _Sockets:
    """The open ones, which can be shut down from another thread."""

    def __init__(self) -> None:
        self._open: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._is_cut = False
        self._lock = threading.Lock()

    def add(self, sock: socket.socket) -> None:
        with self._lock:
            if self._is_cut:
                sock.close()
                raise ConnectionAbortedError("cut off")
            self._open.add(sock)

    def cut(self) -> None:
        with self._lock:
            self._is_cut = True
            for sock in self._open:
                with contextlib.suppress(OSError):  # it is closed already
                    socket.socket.shutdown(sock, socket.SHUT_RDWR)  # SSLSocket's own takes its state from its reader


class _Connection(HTTPConnection):
    """Notes its socket in `sockets`; that of a UNIX socket where `path` is not empty."""

    def __init__(self, *arguments: Any, sockets: _Sockets, path: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._sockets = sockets
        self._path = path

    def _new_conn(self) -> socket.socket:  # where urllib3's own variant for SOCKS differs, too
        sock = _unix_socket(self._path, self.timeout) if self._path else super()._new_conn()
        self._sockets.add(sock)
        return sock


class _SecureConnection(_Connection, HTTPSConnection):
    """The same over TLS, which puts an object of its own into the place of the socket after the handshake."""

    _during_handshake: socket.socket | None = None

    def connect(self) -> None:
        try:
            super().connect()
        finally:
            if self._during_handshake is not None:
                self._during_handshake.close()
        self._sockets.add(self.sock)

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self._during_handshake = sock.dup()
        self._sockets.add(self._during_handshake)
        return sock


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection


class _SecurePool(HTTPSConnectionPool):
    ConnectionCls = _SecureConnection


def _unix_socket(path: str, timeout: float | None) -> socket.socket:
    sock = socket.socket(socket.AF_UNIX)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except OSError:
        sock.close()
        raise
    return sock
