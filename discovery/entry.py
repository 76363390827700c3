"""From the loose values of a source (text or numbers) to a BackendSpec, with errors that name the value."""

import ipaddress
import re

from balancer.backend import BackendSpec

MAX_NUMBER = 2**31 - 1
MAX_UNIX_PATH = 107  # bytes: sun_path of unix(7) is 108 with its final NUL

_LABEL = r"[^\s\[\]/\\@?#,\"'<>=:.]{1,63}"
_HOST = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_PROTOCOLS = re.compile(r"[!-+\--~]{1,255}(,[!-+\--~]{1,255})*")
PROXY_PROTOCOLS = ("", "none", "1", "2")

_IPV4_SHAPE = re.compile(r"[0-9.]+")


def make_spec(
    host: str,
    port: str | int,
    *,
    weight: str | int = 1,
    priority: str | int = 1,
    max_connections: str | int = 0,
    sni: str = "",
    alpn: str = "",
    proxy_protocol: str = "",
) -> BackendSpec:
    """A backend from what a source says of it.

    Host: a name, IPv4, IPv6 with or without brackets, or `unix:/path` (whose port is 0, whatever is given).
    Raises ValueError saying which value is wrong and what is allowed.
    """
    if " " in sni or not sni.isprintable():
        raise ValueError(f"sni {sni[:80]!r} is no server name")
    if alpn and not _PROTOCOLS.fullmatch(alpn):
        raise ValueError(f"alpn {alpn[:80]!r} is no protocol, nor several with commas between")
    if proxy_protocol not in PROXY_PROTOCOLS:
        raise ValueError(f"proxy_protocol {proxy_protocol[:80]!r} is no version: known are 1, 2 and none")
    if host.startswith("unix:"):
        host, port = unix_address(host), 0
    else:
        host, port = plain_host(host), number("port", port, 1, 65535)
    return BackendSpec(
        host,
        port,
        1 if weight == 1 else number("weight", weight),
        1 if priority == 1 else number("priority", priority),
        0 if max_connections == 0 else number("max_connections", max_connections),
        sni,
        alpn,
        proxy_protocol,
    )


def number(name: str, value: str | int, least: int = 0, most: int = MAX_NUMBER) -> int:
    """A whole number from text or a number; least and most are included. Raises ValueError."""
    if isinstance(value, str):
        # int() takes "1_000", "+1", " 1 " and other scripts' digits, and is slow on thousands of them.
        found = int(value) if value.isascii() and value.isdecimal() and len(value) <= 10 else None
    else:
        found = value if type(value) is int else None
    if found is None or not least <= found <= most:
        raise ValueError(f"{name} {str(value)[:40]!r} is not a whole number from {least} to {most}")
    return found


def plain_host(host: str) -> str:
    """A name or an IPv4 address as it is, an IPv6 address without brackets in its shortest form. Raises ValueError."""
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    if ":" in bare:
        try:
            return str(ipaddress.IPv6Address(bare))
        except ValueError:
            raise ValueError(f"host {host[:80]!r} is not an IPv6 address") from None
    if bare is not host or not _HOST.fullmatch(host) or not host.isprintable() or not (host.isascii() or _idna(host)):
        raise ValueError(f"host {host[:80]!r} is neither a name nor an address")
    if _IPV4_SHAPE.fullmatch(host):
        try:
            return str(ipaddress.IPv4Address(host))
        except ValueError:
            raise ValueError(f"host {host!r} is not an IPv4 address") from None
    return host


def _idna(host: str) -> bool:
    """Whether a name in other letters than ASCII's can be looked up (RFC 3490)."""
    try:
        host.encode("idna")
    except UnicodeError:
        return False
    return True


def unix_address(address: str) -> str:
    """`unix:/path` as it is. Raises ValueError when the path is not absolute or too long for a socket address."""
    path = address.removeprefix("unix:")
    if not path.startswith("/"):
        raise ValueError(f"{address[:80]!r} has no absolute path: write unix:/path/of/the.socket")
    if not path.isprintable() or len(path.encode()) > MAX_UNIX_PATH:
        raise ValueError(f"{address[:80]!r}: the path of a UNIX socket is printable, at most {MAX_UNIX_PATH} bytes")
    return address
