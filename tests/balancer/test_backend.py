"""What a backend is called."""

import dataclasses

import pytest

from balancer import Backend, BackendSpec


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("10.0.0.1", 80, "10.0.0.1:80"),
        ("web.example.com", 8080, "web.example.com:8080"),
        ("2001:db8::1", 443, "[2001:db8::1]:443"),
        ("unix:/run/app:1.sock", 0, "unix:/run/app:1.sock"),
    ],
)
def test_address(host: str, port: int, address: str) -> None:
    assert BackendSpec(host, port).address == address


def test_a_spec_cannot_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        BackendSpec("10.0.0.1", 80).port = 81  # type: ignore[misc]


def test_a_backend_shows_its_spec_and_why_it_is_not_picked() -> None:
    spec = BackendSpec("10.0.0.1", 80, weight=2, priority=3, max_connections=4, sni="a.example")
    backend = Backend(spec, row=8, live=False)
    assert (backend.host, backend.port, backend.key) == ("10.0.0.1", 80, ("10.0.0.1", 80))
    assert (backend.weight, backend.priority, backend.max_connections, backend.sni) == (2, 3, 4, "a.example")
    assert repr(backend) == "<Backend 10.0.0.1:80 dead unresolved>"
