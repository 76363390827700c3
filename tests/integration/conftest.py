"""Fixtures that give a test its real servers. One that cannot be had: the test is skipped, or fails where CI=true.

Function-scoped where a server starts in a blink or holds state that a test changes; session-scoped where that costs.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Protocol, TypeVar

import pytest

from tests.integration.reloads import Echo
from tests.services.apt import Unavailable
from tests.services.consul import Consul, ConsulCluster
from tests.services.docker import Docker
from tests.services.etcd import Etcd, EtcdCluster
from tests.services.iperf3 import Iperf3
from tests.services.lxd import Lxd
from tests.services.networks import Networks
from tests.services.nginx import Nginx
from tests.services.nsd import Nsd
from tests.services.pebble import ChallengeServer, Pebble
from tests.services.postgres import Postgres
from tests.services.process import Startable
from tests.services.redis import Redis

AnyServer = TypeVar("AnyServer", bound=Startable)


class Serve(Protocol):
    """Starts a server and stops it when the test, or the run, ends."""

    def __call__(self, server: AnyServer) -> AnyServer: ...


@pytest.fixture
def serve() -> Iterator[Serve]:
    """`serve(Nginx("a"))` starts any server and stops it when the test ends."""
    with ExitStack() as stack:
        yield lambda server: _start(stack, server)


@pytest.fixture(scope="session")
def serve_session() -> Iterator[Serve]:
    """As `serve`, until the end of the run."""
    with ExitStack() as stack:
        yield lambda server: _start(stack, server)


def _start(stack: ExitStack, server: AnyServer) -> AnyServer:
    stack.callback(server.close)
    try:
        server.start()
    except Unavailable as reason:
        if os.environ.get("CI") == "true":
            pytest.fail(f"{server.name}: {reason}")
        pytest.skip(f"{server.name}: {reason}")
    return server


@pytest.fixture
def echo() -> Iterator[Echo]:
    backend = Echo()
    yield backend
    backend.close()


@pytest.fixture
def nginx(serve: Serve) -> Nginx:
    return serve(Nginx())


@pytest.fixture
def networks() -> Iterator[Networks]:
    with ExitStack() as stack:
        try:
            made = stack.enter_context(Networks())
        except Unavailable as reason:
            if os.environ.get("CI") == "true":
                pytest.fail(f"networks: {reason}")
            pytest.skip(f"networks: {reason}")
        yield made


@pytest.fixture
def redis(serve: Serve) -> Redis:
    return serve(Redis())


@pytest.fixture
def iperf3_server(serve: Serve) -> Iperf3:
    return serve(Iperf3())


@pytest.fixture(scope="session")
def postgres(serve_session: Serve) -> Postgres:
    return serve_session(Postgres())


@pytest.fixture
def consul(serve: Serve) -> Consul:
    return serve(Consul())


@pytest.fixture
def consul_cluster(serve: Serve) -> ConsulCluster:
    return serve(ConsulCluster())


@pytest.fixture
def nsd(serve: Serve) -> Nsd:
    return serve(Nsd())


@pytest.fixture
def etcd(serve: Serve) -> Etcd:
    return serve(Etcd())


@pytest.fixture
def etcd_cluster(serve: Serve) -> EtcdCluster:
    return serve(EtcdCluster())


@pytest.fixture
def dockerd(serve: Serve) -> Docker:
    return serve(Docker())


@pytest.fixture
def lxd(serve: Serve) -> Lxd:
    return serve(Lxd())


@pytest.fixture
def pebble(serve: Serve) -> Pebble:
    return serve(Pebble(serve(ChallengeServer())))
