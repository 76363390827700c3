"""What a server's config asks of its connections, of its checks and of this process."""

import socket

import pytest

from balancer import Backend, BackendSpec
from gobetween_py.config import Server
from gobetween_py.config.validate import build
from gobetween_py.proxy.source import Source
from gobetween_py.settings import approach_of, source_of

UNKNOWN = b"PROXY UNKNOWN\r\n"
LOCAL = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"


def server(**keys: object) -> Server:
    given = {"bind": ":0", "discovery": {"kind": "static", "static_list": []}, **keys}
    return build({"servers": {"a": given}})[0].servers["a"]


def test_a_server_that_says_nothing_leaves_the_source_to_the_kernel() -> None:
    assert source_of(server()) is None


def test_an_address_is_for_backends_of_its_family() -> None:
    both = {socket.AF_INET: "10.0.0.5", socket.AF_INET6: "2001:db8::5"}
    assert source_of(server(source_address=["2001:DB8:0::5", "10.0.0.5"])) == Source(own=both)
    assert source_of(server(source_address="10.0.0.5")) == Source(own={socket.AF_INET: "10.0.0.5"})


def test_udp_may_say_that_it_is_transparent_in_its_own_section() -> None:
    udp = {"protocol": "udp", "client_idle_timeout": "1s"}
    assert source_of(server(**udp, udp={"transparent": True})) == Source(transparent=True)
    assert source_of(server(**udp, transparent=True)) == Source(transparent=True)
    assert source_of(server(udp={"transparent": True})) is None  # it is no UDP server


def test_checks_are_never_transparent() -> None:
    """They have no client. What is said of our own address counts for them."""
    approach = approach_of(server(transparent=True, source_address="10.0.0.5"))
    assert approach.source == Source(own={socket.AF_INET: "10.0.0.5"})
    assert approach_of(server()).source is None


@pytest.mark.parametrize(
    ("of_server", "of_backend", "header"),
    [
        ("", "", b""),
        ("1", "", UNKNOWN),
        ("2", "", LOCAL),
        ("2", "1", UNKNOWN),
        ("1", "2", LOCAL),
        ("1", "none", b""),
        ("", "2", LOCAL),
    ],
)
def test_checks_tell_of_nobody_in_the_version_of_the_backend(of_server: str, of_backend: str, header: bytes) -> None:
    keys = {"proxy_protocol": {"version": of_server}} if of_server else {}
    backend = Backend(BackendSpec("10.0.0.1", 80, proxy_protocol=of_backend), 0)
    assert approach_of(server(**keys)).header_of(backend) == header
