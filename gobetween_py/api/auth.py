"""Who may use the API: a login with its password, or a bearer token."""

from __future__ import annotations

import base64
import binascii
import hmac
from hashlib import sha256

from gobetween_py.config.models import Api


class Auth:
    """The credentials of `[api]`. How long a check takes tells nothing of them, not even their length.

    A client certificate is no business of this: without one there is no TLS connection.
    """

    def __init__(self, config: Api) -> None:
        user = config.basic_auth
        self._user = _digest(f"{user.login}:{user.password.get_secret_value()}") if user else None
        self._tokens = [_digest(token.get_secret_value()) for token in config.bearer_tokens]

    @property
    def asked(self) -> bool:
        """Whether credentials are needed at all."""
        return self._user is not None or bool(self._tokens)

    @property
    def challenge(self) -> str:
        """What WWW-Authenticate says (RFC 9110, 11.6.1)."""
        schemes = ['Basic realm="pygobetween", charset="UTF-8"'] * (self._user is not None)
        return ", ".join([*schemes, *['Bearer realm="pygobetween"'] * bool(self._tokens)])

    def admits(self, authorization: str) -> bool:
        """Whether the header of this value comes from somebody who may."""
        if not self.asked:
            return True
        scheme, _, credentials = authorization.partition(" ")
        given = _digest(credentials.strip())
        match scheme.lower():
            case "basic" if self._user is not None:
                return hmac.compare_digest(_digest(_decoded(credentials)), self._user)
            case "bearer":
                # All of them are looked at, whether one fits or not.
                return sum(hmac.compare_digest(given, token) for token in self._tokens) > 0
        return False


def _digest(text: str) -> bytes:
    return sha256(text.encode("utf-8", "surrogateescape")).digest()


def _decoded(credentials: str) -> str:
    try:
        return base64.b64decode(credentials.strip(), validate=True).decode("utf-8", "surrogateescape")
    except (binascii.Error, ValueError):
        return ""
