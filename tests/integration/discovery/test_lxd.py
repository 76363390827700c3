"""lxd, through the running balancer: a real server's containers come and go while traffic flows."""

import json
import os
import signal
import subprocess
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from balancer.backend import BackendSpec
from discovery.contract import DiscoveryError
from discovery.lxd.kind import Lxd as Kind
from discovery.lxd.options import LxdOptions
from tests.discovery.lxd.test_kind import Server, container
from tests.discovery.web import serving
from tests.integration.discovery.scenarios import server_goes_mad
from tests.integration.discovery.traffic import Identity, Traffic, http_body
from tests.services.lxd import TRUST_PASSWORD, Lxd

LABEL, PORT = "user.gobetween.label", "user.gobetween.port"
WEB = {LABEL: "web", PORT: "80"}
LABELLED: dict[str, Any] = {
    "lxd_container_label_key": LABEL,
    "lxd_container_label_value": "web",
    "lxd_container_port_key": PORT,
}
REMOTE: dict[str, Any] = {
    "lxd_server_remote_name": "lxd-01",
    "lxd_generate_client_certs": True,
    "lxd_accept_server_cert": True,
    "lxd_server_remote_password": TRUST_PASSWORD,
}


def _discovery(address: str, **more: str | bool | int) -> str:
    """TOML of the discovery."""
    options = {"kind": "lxd", "lxd_server_address": address, **more}
    return "\n".join(f"{key} = {json.dumps(value)}" for key, value in options.items())


async def _fetch(address: str, **keys: Any) -> list[BackendSpec]:
    """By the kind itself, without a balancer."""
    discovery = Kind(LxdOptions(lxd_server_address=address, **{"lxd_container_port": 80} | keys))
    try:
        return sorted(await discovery.fetch(), key=lambda spec: spec.key)
    finally:
        await discovery.close()


async def test_containers_come_and_go_under_traffic(lxd: Lxd) -> None:
    """No connection fails as long as its container is there; each change is pushed, without an interval."""
    with lxd.network():
        lxd.launch("a", config=WEB)
        lxd.launch("other", config={LABEL: "db", PORT: "80"})
        async with Traffic(_discovery(lxd.endpoint, **LABELLED), ask=http_body()) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                await to_thread(lxd.launch, "b", config=WEB)
                await traffic.served_by("a", "b")
                await to_thread(lxd.lxc, "config", "set", "other", f"{LABEL}=web")
                await traffic.served_by("a", "b", "other")
                await to_thread(lxd.lxc, "config", "set", "b", f"{LABEL}=db")
                await traffic.served_by("a", "other")
            await to_thread(lxd.lxc, "pause", "other")
            try:
                await traffic.served_by("a")
            finally:
                await to_thread(lxd.lxc, "start", "other")
            await traffic.served_by("a", "other")
            await to_thread(lxd.stop_container, "other")
            await traffic.served_by("a")
            await traffic.logged("skipped container other: is not running but 'stopped'")
            await to_thread(lxd.lxc, "start", "other")
            await traffic.served_by("a", "other")
            await to_thread(lxd.remove_all)
            await traffic.refused()


async def test_the_server_says_who_serves_and_where(lxd: Lxd) -> None:
    """Labels, ports, interfaces and sni by settings, of the container or its profile; both families of addresses."""
    lxd.lxc("profile", "create", "web")
    lxd.lxc("profile", "set", "web", f"{LABEL}=web")
    second = ["--profile=default", "--profile=web"]
    lxd.launch("a", config=WEB | {"user.sni": "a.example"})
    lxd.launch("b", *second, config={PORT: "8080", "user.interface": "eth0"})
    lxd.launch("c", config={LABEL: "db"})
    lxd.launch("stopped", config=WEB)
    lxd.stop_container("stopped")
    a, b, c = (BackendSpec(lxd.wait_for_address(name), 80) for name in "abc")

    def on(port: int, *specs: BackendSpec, **other: Any) -> list[BackendSpec]:
        return sorted((BackendSpec(spec.host, port, **other) for spec in specs), key=lambda spec: spec.key)

    assert await _fetch(lxd.endpoint, lxd_container_port=90) == on(90, a, b, c)
    assert await _fetch(lxd.endpoint, lxd_container_label_key=LABEL) == on(80, a, b, c)
    labelled = await _fetch(lxd.endpoint, **LABELLED, lxd_container_sni_key="user.sni")
    assert {spec.address: spec.sni for spec in labelled} == {a.address: "a.example", f"{b.host}:8080": ""}
    elsewhere = {"lxd_container_interface": "eth1", "lxd_container_interface_key": "user.interface"}
    assert await _fetch(lxd.endpoint, **elsewhere) == on(80, b)
    six = [lxd.wait_for_address(name, "inet6") for name in "abc"]
    found = await _fetch(lxd.endpoint, lxd_container_address_type="IPv6")
    assert [spec.host for spec in found] == sorted(six)


async def test_a_remote_server_is_trusted_at_first_sight_and_trusts_for_the_password(lxd: Lxd, tmp_path: Path) -> None:
    with lxd.network():
        lxd.launch("a", config=WEB)
        remote = _discovery(lxd.https_endpoint, **LABELLED, **REMOTE, lxd_config_directory="$HOME/lxc")
        async with Traffic(remote, ask=http_body(), environment={"HOME": str(tmp_path)}) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                await to_thread(lxd.launch, "b", config=WEB)
                await traffic.served_by("a", "b")
            assert TRUST_PASSWORD not in traffic.log
        pinned = tmp_path / "lxc" / "servercerts" / "lxd-01.crt"
        assert pinned.read_text() == lxd.server_certificate.read_text()
        assert len(json.loads(lxd.lxc("config", "trust", "list", "--format=json"))) == 1
        # Neither accepting nor a password is needed any more.
        async with Traffic(
            _discovery(
                lxd.https_endpoint,
                **LABELLED,
                lxd_server_remote_name="lxd-01",
                lxd_config_directory=str(tmp_path / "lxc"),
            ),
            ask=http_body(),
        ) as traffic:
            await traffic.served_by("a", "b")


async def test_without_trust_the_failure_says_what_is_missing(lxd: Lxd, tmp_path: Path) -> None:
    keys: dict[str, Any] = {"lxd_config_directory": str(tmp_path)}
    with lxd.network():
        with pytest.raises(DiscoveryError, match="is not trusted: self-signed certificate; lxd_accept_server_cert"):
            await _fetch(lxd.https_endpoint, **keys)
        with pytest.raises(DiscoveryError, match=r"client\.crt is missing: lxd_generate_client_certs makes one"):
            await _fetch(lxd.https_endpoint, **keys, lxd_accept_server_cert=True)
        keys["lxd_generate_client_certs"] = True
        with pytest.raises(DiscoveryError, match=r"does not trust .*client\.crt: give lxd_server_remote_password"):
            await _fetch(lxd.https_endpoint, **keys)
        with pytest.raises(DiscoveryError, match="refused lxd_server_remote_password: not authorized") as refused:
            await _fetch(lxd.https_endpoint, **keys, lxd_server_remote_password="wrong one")
        assert "wrong one" not in str(refused.value)
        assert await _fetch(lxd.https_endpoint, **keys, lxd_server_remote_password=TRUST_PASSWORD) == []
        (tmp_path / "servercerts" / "local.crt").write_bytes((tmp_path / "client.crt").read_bytes())
        with pytest.raises(DiscoveryError, match=r"it is not the certificate in .*servercerts/local\.crt"):
            await _fetch(lxd.https_endpoint, **keys)


async def test_trust_that_was_taken_back_is_asked_for_again(lxd: Lxd, tmp_path: Path) -> None:
    options = LxdOptions(
        lxd_server_address=lxd.https_endpoint, lxd_container_port=80, lxd_config_directory=str(tmp_path), **REMOTE
    )
    discovery = Kind(options)
    with lxd.network():
        assert await discovery.fetch() == []
        (trusted,) = json.loads(lxd.lxc("config", "trust", "list", "--format=json"))
        lxd.lxc("config", "trust", "remove", trusted["fingerprint"])
        with pytest.raises(DiscoveryError, match="answered 403: not authorized"):
            await discovery.fetch()
        assert await discovery.fetch() == []
    await discovery.close()


@asynccontextmanager
async def _outliving(lxd: Lxd, name: str) -> AsyncIterator[Identity]:
    """A backend that outlasts the server: it has the address of a container, and its port, on the host's side."""
    address = "10.77.0.50"
    lxd.launch(name, config=WEB | {"boot.autostart": "true"}, address=address)
    lxd.wait_for_address(name)
    subprocess.run(["ip", "address", "add", f"{address}/32", "dev", "lo"], check=True)
    async with Identity(name, address) as backend:
        lxd.lxc("config", "set", name, f"{PORT}={backend.port}")
        yield backend


async def test_without_its_server_the_last_backends_are_kept(lxd: Lxd) -> None:
    with lxd.network():
        async with (
            _outliving(lxd, "a"),
            Traffic(_discovery(lxd.endpoint, **LABELLED, interval="1s")) as traffic,
        ):
            await traffic.served_by("a")
            held = await traffic.hold("a")
            async with traffic.without_failure():
                await to_thread(lxd.kill)
                await traffic.logged("push channel broke")
                await traffic.logged("the last 1 backends are kept")
                await traffic.served_by("a")
                await held.ping()
            await to_thread(lxd.start)
            await traffic.logged("push channel is back")
            await traffic.served_by("a")
            await to_thread(lxd.lxc, "config", "set", "a", f"{LABEL}=db")
            await traffic.refused()
            await held.ping()
            held.close()
            assert traffic.told("lxd discovery failed") == 1, "once per change of state, not once per try"


async def test_or_refused_where_the_policy_says_so(lxd: Lxd) -> None:
    with lxd.network():
        async with (
            _outliving(lxd, "a"),
            Traffic(_discovery(lxd.endpoint, **LABELLED, failpolicy="setempty")) as traffic,
        ):
            await traffic.served_by("a")
            await to_thread(lxd.kill)
            await traffic.refused()
            await to_thread(lxd.start)
            await traffic.served_by("a")


async def test_a_server_that_does_not_answer_in_time_is_a_failure(lxd: Lxd) -> None:
    with lxd.network():
        lxd.launch("a", config=WEB)
        discovery = _discovery(lxd.endpoint, **LABELLED, interval="200ms", timeout="500ms")
        async with Traffic(discovery, ask=http_body()) as traffic:
            await traffic.served_by("a")
            async with traffic.without_failure():
                os.kill(lxd.main_pid, signal.SIGSTOP)
                await traffic.logged(f"no answer from {lxd.endpoint} within 500ms")
                await traffic.served_by("a")
                os.kill(lxd.main_pid, signal.SIGCONT)
                await traffic.logged("answers again")
                await to_thread(lxd.launch, "b", config=WEB)
                await traffic.served_by("a", "b")


async def test_a_server_gone_mad_costs_nothing_else(tmp_path: Path) -> None:
    async with Identity("a") as a, serving(socket=tmp_path / "unix.socket") as web:
        server = Server(web)
        server.containers = [container("a", a.host)]
        discovery = _discovery(f"unix://{tmp_path}/unix.socket", lxd_container_port=a.port, interval="100ms")
        await server_goes_mad(discovery, partial(setattr, server, "instead"))
