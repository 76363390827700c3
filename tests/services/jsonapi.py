"""A client of the servers' own HTTP APIs, by which tests change them; no proxy and no CA of the environment."""

import http.client
import json
import ssl
from collections.abc import Mapping
from typing import Any


class ApiError(Exception):
    """An answer with a status of 400 or above."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP status {status}: {body}")
        self.status = status
        self.body = body


class JsonApi:
    """Sends JSON, returns parsed JSON (or text where it is none); one connection a request.

    Args:
        host: name or address.
        port: TCP port.
        tls: https with this context; None is http.
        headers: sent with each request.
    """

    def __init__(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, headers: Mapping[str, str] | None = None
    ) -> None:
        self.host = host
        self.port = port
        self.tls = tls
        self.headers = dict(headers or {})

    def get(self, path: str) -> Any:
        return self.request("GET", path)

    def put(self, path: str, body: Any = None) -> Any:
        return self.request("PUT", path, body)

    def post(self, path: str, body: Any = None) -> Any:
        return self.request("POST", path, body)

    def request(self, method: str, path: str, body: Any = None) -> Any:
        """Raises ApiError for an answer of 400 or above, OSError when there is no answer."""
        connection = self._connection()
        content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
        try:
            connection.request(method, path, content, {"Content-Type": "application/json", **self.headers})
            response = connection.getresponse()
            text = response.read().decode(errors="replace")
        except http.client.HTTPException as error:
            raise ConnectionError(f"{method} {path}: {error!r}") from error
        finally:
            connection.close()
        if response.status >= 400:
            raise ApiError(response.status, text)
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _connection(self) -> http.client.HTTPConnection:
        if self.tls is None:
            return http.client.HTTPConnection(self.host, self.port, timeout=10)
        return http.client.HTTPSConnection(self.host, self.port, timeout=10, context=self.tls)
