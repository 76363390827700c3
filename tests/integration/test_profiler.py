"""The profiler of a running balancer."""

import re
import socket
import threading

import pytest

from tests.integration.conftest import Serve
from tests.integration.test_traffic import fetch
from tests.services.balancer import Balancer
from tests.services.load import ab
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.process import LOOPBACK


def profiled(nginx: Nginx, section: str) -> Balancer:
    port = free_port()
    balancer = Balancer(
        f'{section}\n[servers.web]\nbind = "{LOOPBACK}:{port}"\n'
        f'[servers.web.discovery]\nkind = "static"\nstatic_list = ["{LOOPBACK}:{nginx.port}"]\n'
    )
    balancer.port = port
    return balancer


def test_a_flame_graph_under_load_shows_the_relay(serve: Serve, nginx: Nginx):
    """And every request that comes meanwhile is answered."""
    port = free_port()
    balancer = serve(profiled(nginx, f'[profiler]\nenabled = true\nbind = "{LOOPBACK}:{port}"'))
    pictures: list[bytes] = []
    asking = threading.Thread(target=lambda: pictures.append(fetch(port, "/profile?seconds=2")))
    asking.start()
    while asking.is_alive():
        load = ab(f"http://{LOOPBACK}:{balancer.port}/name", requests=500, clients=10)
        assert (load.complete, load.failed) == (500, 0)
    asking.join()
    for function in (b"Half.ready ", b"Connection.connect ", b"socket.connect_ex "):
        assert function in pictures[0]


def test_tasks_of_the_balancer_are_named(serve: Serve, nginx: Nginx):
    port = free_port()
    serve(profiled(nginx, f'[profiler]\nenabled = true\nbind = "{LOOPBACK}:{port}"'))
    told = fetch(port, "/tasks").decode()
    assert re.search(r"^web: rates$", told, re.MULTILINE)
    assert "gobetween_py/app.py:" in told


def test_it_is_not_there_unless_enabled(serve: Serve, nginx: Nginx):
    port = free_port()
    serve(profiled(nginx, f'[profiler]\nenabled = false\nbind = "{LOOPBACK}:{port}"'))
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((LOOPBACK, port), 5)
