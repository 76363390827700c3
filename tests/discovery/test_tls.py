"""TLS contexts."""

import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from discovery.contract import DiscoveryError
from discovery.registry import load
from discovery.tls import client_context
from tests.services.ports import free_port

HTTPS: dict[str, Callable[[str], dict[str, Any]]] = {
    "json": lambda host: {"json_endpoint": f"https://{host}/"},
    "plaintext": lambda host: {"plaintext_endpoint": f"https://{host}/"},
    "docker": lambda host: {"docker_endpoint": f"https://{host}", "docker_container_private_port": 80},
    "consul": lambda host: {"consul_host": host, "consul_service_name": "web", "consul_tls_enabled": True},
    "lxd": lambda host: {"lxd_server_address": f"https://{host}", "lxd_container_port": 80},
    "etcd": lambda host: {"etcd_endpoints": [f"https://{host}"], "etcd_prefix": "/web/"},
}
"""Options of each kind that knows TLS, for a server at `host:port`."""


def test_verifies_by_default() -> None:
    context = client_context()
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_verifies_nothing_only_when_told_so() -> None:
    assert client_context(verify=False).verify_mode is ssl.CERT_NONE


@pytest.mark.parametrize("content", [None, "", "no PEM"])
def test_a_file_that_cannot_be_used_is_named(content: str | None, tmp_path: Path) -> None:
    file = tmp_path / "file.pem"
    if content is not None:
        file.write_text(content)
    with pytest.raises(DiscoveryError, match=f"cannot load the CA certificates of {file}: "):
        client_context(ca=str(file))
    with pytest.raises(DiscoveryError, match=f"cannot load the certificate {file}: "):
        client_context(certificate=str(file))


@pytest.mark.parametrize("kind", HTTPS)
async def test_the_systems_authorities_are_not_read_in_the_event_loop(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is relayed while it works, and they take 20 ms."""
    threads = []

    def noted(**options: Any) -> ssl.SSLContext:
        threads.append(threading.current_thread())
        return make(**options)

    make = ssl.create_default_context
    monkeypatch.setattr(ssl, "create_default_context", noted)
    monkeypatch.setenv("HOME", str(tmp_path))
    found = load(kind)
    discovery = found(found.Options.model_validate({"kind": kind, **HTTPS[kind](f"127.0.0.1:{free_port()}")}))
    with pytest.raises(DiscoveryError):
        await discovery.fetch()
    await discovery.close()
    assert threads
    assert threading.main_thread() not in threads
