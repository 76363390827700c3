import ipaddress
import socket

from benchmarks.discovery.backends import Backends, generation_behind, hosts


def test_the_addresses_of_a_generation_are_all_different_and_its_own() -> None:
    seen = {address for generation in (1, 2, 3) for address in hosts(generation, 10_000)}
    assert len(seen) == 30_000
    assert all(ipaddress.ip_address(address).is_loopback for address in seen)
    assert hosts(2, 600)[:2] == hosts(2, 2) == ["127.2.0.1", "127.2.0.2"]


def test_a_backend_says_of_which_generation_it_is() -> None:
    with Backends() as backends:
        for host, said in ("127.3.0.1", b"3\n"), ("127.7.39.250", b"7\n"):
            with socket.create_connection((host, backends.port)) as connection:
                assert connection.makefile("rb").read() == said
        assert generation_behind(backends.port) == 0, "127.0.0.1"
    assert generation_behind(backends.port) is None
