"""`[acme]`: who issues the certificates of tls.acme_hosts, and how hosts are proved to be ours."""

import binascii
import re
from base64 import urlsafe_b64decode
from typing import Annotated, Literal

from pydantic import AfterValidator, SecretStr

from discovery.fields import FileName, HttpsUrl, Required, Secret
from gobetween_py.config.bind import Bind, BindAddress
from gobetween_py.section import Section

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"

SHARED = "/tmp"  # noqa: S108  # gobetween's default

_LABEL = r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"{_LABEL}(\.{_LABEL})*")
_ADDRESS = re.compile(r"[0-9.]+")


def _host_name(text: str) -> str:
    """In lower case, without a dot at its end."""
    name = text.lower().removesuffix(".")
    if name.startswith("*."):
        raise ValueError("is a wildcard, which these challenges cannot prove: list the names themselves")
    if not name.isascii():
        raise ValueError("is not ASCII: write it as xn--...")
    if len(name) > 253 or not _NAME.fullmatch(name) or _ADDRESS.fullmatch(name):
        raise ValueError("is no host name")
    return name


AcmeHost = Annotated[Required, AfterValidator(_host_name)]
"""A host name that an authority can issue a certificate for."""


def _base64url(key: SecretStr) -> SecretStr:
    text = key.get_secret_value().rstrip("=")
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except binascii.Error:
        decoded = b""
    if not decoded or not re.fullmatch(r"[\w-]+", text, re.ASCII):
        raise ValueError("is not base64url, as the authority gave it")
    return SecretStr(text)


class ExternalAccount(Section):
    """An account of the authority's that exists outside of ACME, and ours is bound to (RFC 8555, 7.3.4)."""

    key_id: Required
    hmac_key: Annotated[Secret, AfterValidator(_base64url)]
    """In base64url."""


class Acme(Section):
    """Certificates of an ACME authority, for the servers that have tls.acme_hosts. It means agreeing to its terms."""

    challenge: Literal["http", "tls-alpn"] = "http"
    """http: http-01 on http_bind, which the authority reaches as port 80 of each host. tls-alpn: tls-alpn-01 on the
    servers' own ports, which it reaches as port 443."""
    http_bind: BindAddress = Bind("0.0.0.0", 80)  # noqa: S104  # the authority comes from outside
    """Where http-01 challenges are answered; other requests are sent on to https."""
    cache_dir: Required = SHARED
    """Where the account and the certificates are kept."""
    directory_url: HttpsUrl = LETS_ENCRYPT
    """The authority's directory."""
    ca_path: FileName = ""
    """Who may have signed the certificate of the authority's own site; "" = whom the system trusts."""
    external_account: ExternalAccount | None = None
