"""The configs of docs/discovery.md and of configs/ serve, with the real servers; only where these are is replaced."""

import json
import re
from asyncio import to_thread
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.integration.discovery.traffic import Identity, Traffic, http_body
from tests.services.consul import Consul
from tests.services.docker import Docker
from tests.services.etcd import Etcd
from tests.services.lxd import Lxd
from tests.services.nginx import Nginx
from tests.services.nsd import Nsd

ROOT = Path(__file__).parents[3]
DOCS, CONFIGS = "docs", "configs"

everywhere = pytest.mark.parametrize("place", [DOCS, CONFIGS])


def config_of(kind: str, place: str, **values: object) -> str:
    """The discovery of the first config there, TOML; these keys of it have other values."""
    if place == CONFIGS:
        config = (ROOT / "configs" / f"{kind}.toml").read_text()
    else:
        section = (ROOT / "docs" / "discovery.md").read_text().partition(f"\n## {kind}\n")[2]
        config = section.partition("```toml\n")[2].partition("```")[0]
    discovery = config.partition(".discovery]\n")[2]
    for key, value in values.items():
        discovery, found = re.subn(f"^{key} = .*", f"{key} = {json.dumps(value)}", discovery, flags=re.MULTILINE)
        assert found == 1, f"{key} stands in it {found} times"
    return discovery


def value_of(config: str, key: str) -> str:
    """The text that a key has."""
    found: str = json.loads(config.partition(f"\n{key} = ")[2].partition("\n")[0])
    return found


@pytest.fixture
async def a() -> AsyncIterator[Identity]:
    async with Identity("a") as backend:
        yield backend


@everywhere
async def test_srv(place: str, nsd: Nsd, a: Identity) -> None:
    config = config_of("srv", place, srv_lookup_server=nsd.host)
    name, _, zone = value_of(config, "srv_lookup_pattern").removesuffix(".").partition(".")
    nsd.write_zone(zone, [f"{name} SRV 1 2 {a.port} web", f"web A {a.host}"])
    async with Traffic(config) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_docker(place: str, dockerd: Docker) -> None:
    with dockerd.network():
        dockerd.run("web", labels={"proxied": "true", "weight": "2"}, publish=["80"])
        dockerd.run("other", publish=["80"])
        async with Traffic(config_of("docker", place, docker_endpoint=dockerd.endpoint), ask=http_body()) as traffic:
            await traffic.served_by("web")


@everywhere
async def test_json(place: str, nginx: Nginx, a: Identity) -> None:
    plain = [{"host": a.host, "port": str(a.port), "weight": 2, "priority": 1, "max_connections": 100}]
    nested = {"services": [{"address": a.host, "ports": [a.port], "weight": 2}]}
    nginx.write("backends.json", json.dumps(plain if place == DOCS else nested).encode())
    async with Traffic(config_of("json", place, json_endpoint=f"{nginx.url}/backends.json")) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_plaintext(place: str, nginx: Nginx, a: Identity) -> None:
    line = f"{a.address} weight=2\n" if place == DOCS else f"eu {a.host} {a.port}\n"
    nginx.write("backends.txt", line.encode())
    async with Traffic(config_of("plaintext", place, plaintext_endpoint=f"{nginx.url}/backends.txt")) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_exec(place: str, a: Identity) -> None:
    config = config_of("exec", place)
    for port in "8000", "8001":
        assert f"127.0.0.1:{port}" in config
        config = config.replace(f"127.0.0.1:{port}", a.address)
    async with Traffic(config) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_consul(place: str, consul: Consul, a: Identity) -> None:
    consul.register("web", a.port, Weights={"Passing": 2, "Warning": 1}, Tags=["priority=1"])
    async with Traffic(config_of("consul", place, consul_host=consul.host)) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_lxd(place: str, lxd: Lxd) -> None:
    with lxd.network():
        lxd.launch("web1", config={"user.gobetween.label": "web", "user.gobetween.port": "80"})
        lxd.launch("other")
        async with Traffic(config_of("lxd", place, lxd_server_address=lxd.endpoint), ask=http_body()) as traffic:
            await traffic.served_by("web1")


@everywhere
async def test_dns(place: str, nsd: Nsd, a: Identity) -> None:
    if place == CONFIGS:
        config = config_of("dns", place, dns_lookup_server=nsd.host, dns_port=a.port)
    else:
        config = config_of("dns", place, dns_port=a.port) + f'dns_lookup_server = "{nsd.host}"\n'
    name, _, zone = value_of(config, "dns_name").removesuffix(".").partition(".")
    nsd.write_zone(zone, [f"{name} A {a.host}"])
    async with Traffic(config) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_file(place: str, tmp_path: Path, a: Identity) -> None:
    file = tmp_path / "backends.yaml"
    file.write_text(f"- {a.address} weight=2\n- {{host: {a.host}, port: {a.port}}}\n")
    async with Traffic(config_of("file", place, file_path=str(file))) as traffic:
        await traffic.served_by("a")


@everywhere
async def test_etcd(place: str, serve: Serve, a: Identity) -> None:
    """The manual's has a user; its TLS is left to the tests of the kind."""
    etcd = serve(Etcd(password="a password" if place == DOCS else None))
    values: dict[str, object] = {"etcd_endpoints": [etcd.url]}
    if etcd.password:
        values |= {"etcd_username": "root", "etcd_password": etcd.password, "etcd_tls_cacert_path": ""}
    await to_thread(etcd.put, "/services/web/a", json.dumps({"host": a.host, "port": a.port}))
    async with Traffic(config_of("etcd", place, **values)) as traffic:
        await traffic.served_by("a")
