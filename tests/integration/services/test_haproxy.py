"""HAProxy: balances, and speaks the PROXY protocol on either side."""

import urllib.request
from collections import Counter

from tests.integration.conftest import Serve
from tests.services.haproxy import Haproxy
from tests.services.nginx import Nginx
from tests.services.process import LOOPBACK


def _name(port: int) -> bytes:
    with urllib.request.urlopen(f"http://{LOOPBACK}:{port}/name", timeout=10) as response:
        body: bytes = response.read()
        return body


def test_it_goes_round_its_backends(serve: Serve) -> None:
    backends = [serve(Nginx(label)) for label in ("a", "b")]
    haproxy = serve(Haproxy(*(f"{LOOPBACK}:{backend.port}" for backend in backends)))
    assert Counter(_name(haproxy.port) for _ in range(10)) == {b"a": 5, b"b": 5}


def test_it_takes_the_proxy_protocol_that_it_sends(serve: Serve, nginx: Nginx) -> None:
    inner = serve(Haproxy(f"{LOOPBACK}:{nginx.port}", bind="accept-proxy"))
    outer = serve(Haproxy(f"{LOOPBACK}:{inner.port}", server="send-proxy-v2"))
    assert _name(outer.port) == b"nginx"
