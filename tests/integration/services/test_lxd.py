"""LXD in namespaces of its own: containers get addresses and serve, come and go; nothing stays on the machine."""

import json
import ssl
import urllib.request

import pytest

from tests.services import leaks
from tests.services.certificates import Authority
from tests.services.jsonapi import ApiError, JsonApi
from tests.services.lxd import TRUST_PASSWORD, Lxd
from tests.services.process import LOOPBACK


def _name(lxd: Lxd, host: str) -> str:
    """What the container at that address calls itself."""
    with lxd.network(), urllib.request.urlopen(f"http://{host}/name", timeout=10) as response:
        text: str = response.read().decode().strip()
        return text


def test_a_container_gets_addresses_and_serves(lxd: Lxd) -> None:
    lxd.launch("web1", config={"user.gobetween.label": "web"})
    lxd.launch("web2", address="10.77.0.50")
    assert _name(lxd, lxd.wait_for_address("web1")) == "web1"
    assert _name(lxd, f"[{lxd.wait_for_address('web1', 'inet6')}]") == "web1"
    assert lxd.wait_for_address("web2") == "10.77.0.50"
    assert _name(lxd, "10.77.0.50") == "web2"
    assert lxd.lxc("config", "get", "web1", "user.gobetween.label").strip() == "web"


def test_containers_stop_and_go(lxd: Lxd) -> None:
    lxd.launch("web1")
    lxd.wait_for_address("web1")
    lxd.stop_container("web1")
    assert lxd.state("web1")["status"] == "Stopped"
    assert lxd.addresses("web1") == []
    lxd.remove_all()
    assert json.loads(lxd.lxc("list", "--format=json")) == []


def test_a_container_may_have_no_address(lxd: Lxd) -> None:
    lxd.launch("lonely", "--no-profiles", "--storage=default")
    assert lxd.state("lonely")["status"] == "Running"
    assert lxd.addresses("lonely") == []


def test_https_trusts_who_knows_the_password(lxd: Lxd) -> None:
    context = ssl.create_default_context(cafile=lxd.server_certificate)
    context.check_hostname = False
    client = Authority(lxd.folder).issue("client")
    context.load_cert_chain(client.certificate, client.key)
    api = JsonApi(LOOPBACK, 8443, context)
    with lxd.network():
        assert api.get("/1.0")["metadata"]["auth"] == "untrusted"
        with pytest.raises(ApiError):
            api.post("/1.0/certificates", {"type": "client", "password": "a guess"})
        api.post("/1.0/certificates", {"type": "client", "password": TRUST_PASSWORD})
        assert api.get("/1.0")["metadata"]["auth"] == "trusted"


def test_containers_run_again_after_a_kill(lxd: Lxd) -> None:
    lxd.launch("web1", address="10.77.0.50")
    lxd.wait_for_address("web1")
    lxd.kill()
    lxd.start()
    assert _name(lxd, lxd.wait_for_address("web1")) == "web1"


def test_nothing_stays_on_the_machine(lxd: Lxd) -> None:
    before = {process.pid for process in leaks.children()}
    lxd.launch("web1")
    lxd.wait_for_address("web1")
    assert any("httpd" in process.command for process in leaks.children())
    lxd.close()
    assert {process.pid for process in leaks.children()} < before
    assert not [trace for trace in leaks.traces() if "lxd" in trace]
