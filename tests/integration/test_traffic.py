"""Real traffic through the running balancer: real clients and servers, every answer counted, every checksum right."""

import hashlib
import http.client
import os
import socket
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.integration.conftest import Serve
from tests.services.balancer import Balancer
from tests.services.iperf3 import Iperf3, iperf3
from tests.services.load import ab, redis_benchmark, wrk
from tests.services.nginx import Nginx
from tests.services.ports import free_port
from tests.services.postgres import Postgres, pgbench, psql
from tests.services.process import LOOPBACK
from tests.services.redis import Redis, redis_cli

MIB = 2**20


def address(server: Nginx | Redis | Iperf3 | Postgres) -> str:
    return f"{LOOPBACK}:{server.port}"


def fetch(port: int, path: str, host: str = LOOPBACK) -> bytes:
    """Body of a GET over a connection of its own."""
    connection = http.client.HTTPConnection(host, port, timeout=60)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        assert response.status == 200
        return response.read()
    finally:
        connection.close()


def digest(chunks: Iterable[bytes]) -> str:
    """SHA-256 in hex."""
    sha256 = hashlib.sha256()
    for chunk in chunks:
        sha256.update(chunk)
    return sha256.hexdigest()


# redis: small messages


def test_redis_values_of_every_size_come_back(serve: Serve, redis: Redis) -> None:
    balancer = serve(Balancer.before(address(redis)))
    with socket.create_connection((LOOPBACK, balancer.port), timeout=60) as connection:
        replies = connection.makefile("rb")
        for size in [*range(1, 200), 16_383, 16_384, 16_385, 65_536, 262_145, 5 * MIB]:
            value = os.urandom(size)
            connection.sendall(b"*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$%d\r\n%b\r\n" % (size, value))
            connection.sendall(b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n")
            assert replies.readline() == b"+OK\r\n"
            assert replies.readline() == b"$%d\r\n" % size
            assert replies.read(size + 2) == value + b"\r\n"
    assert redis_cli(balancer.port, "STRLEN", "key") == str(5 * MIB)


@pytest.mark.parametrize(("clients", "size", "pipeline"), [(1, 3, 1), (50, 3, 1), (50, 3, 16), (20, 20_000, 4)])
def test_every_command_of_redis_benchmark_arrives(
    serve: Serve, redis: Redis, clients: int, size: int, pipeline: int
) -> None:
    balancer = serve(Balancer.before(address(redis)))
    for command in "set", "get":
        redis_benchmark(balancer.port, command=command, requests=4800, clients=clients, size=size, pipeline=pipeline)
    statistics = redis_cli(redis.port, "INFO", "commandstats")
    assert "cmdstat_set:calls=4800," in statistics
    assert "cmdstat_get:calls=4800," in statistics
    key = redis_cli(balancer.port, "RANDOMKEY")
    assert redis_cli(balancer.port, "STRLEN", key) == str(size)


# HTTP: many connections


def test_ab_sees_no_failed_request_over_three_backends(serve: Serve) -> None:
    """Round robin gives each backend a third of them."""
    backends = [serve(Nginx(label)) for label in ("a", "b", "c")]
    for backend in backends:
        backend.write("file", b"x" * 5000)
    balancer = serve(Balancer.before(*map(address, backends), balance="roundrobin"))
    load = ab(f"http://{LOOPBACK}:{balancer.port}/file", requests=6000, clients=100)
    assert (load.complete, load.failed, load.body_bytes) == (6000, 0, 6000 * 5000), load.report
    assert Counter(fetch(balancer.port, "/name") for _ in range(30)) == {b"a": 10, b"b": 10, b"c": 10}


def test_ab_sees_no_failed_request_on_connections_that_stay(serve: Serve, nginx: Nginx) -> None:
    nginx.write("file", b"x" * 100_000)
    balancer = serve(Balancer.before(address(nginx)))
    load = ab(f"http://{LOOPBACK}:{balancer.port}/file", requests=3000, clients=50, keep_alive=True)
    assert (load.complete, load.failed, load.body_bytes) == (3000, 0, 3000 * 100_000), load.report


@pytest.mark.parametrize("size", [10, 300_000])
def test_wrk_sees_no_failed_request(serve: Serve, nginx: Nginx, size: int) -> None:
    nginx.write("file", b"x" * size)
    balancer = serve(Balancer.before(address(nginx)))
    load = wrk(f"http://{LOOPBACK}:{balancer.port}/file", seconds=2, clients=100)
    assert load.failed == 0, load.report
    assert load.complete > 0


def test_bodies_fetched_at_once_have_the_right_checksums(serve: Serve, nginx: Nginx) -> None:
    digests = {f"/{size}": nginx.write_random(str(size), size) for size in (1, 1000, 65_536, MIB, 9 * MIB + 1)}
    balancer = serve(Balancer.before(address(nginx)))
    paths = list(digests) * 20
    with ThreadPoolExecutor(16) as threads:
        bodies = threads.map(lambda path: digest([fetch(balancer.port, path)]), paths)
        assert list(bodies) == [digests[path] for path in paths]


# Bulk


def test_a_large_download_has_the_right_checksum(serve: Serve, nginx: Nginx) -> None:
    expected = nginx.write_random("large", 256 * MIB)
    balancer = serve(Balancer.before(address(nginx)))
    connection = http.client.HTTPConnection(LOOPBACK, balancer.port, timeout=60)
    connection.request("GET", "/large")
    response = connection.getresponse()
    assert digest(iter(lambda: response.read(MIB), b"")) == expected
    connection.close()


def test_large_uploads_at_once_have_the_right_checksums(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    balancer = serve(Balancer.before(address(nginx)))

    def upload(number: int) -> tuple[str, str]:
        file = tmp_path / str(number)
        file.write_bytes(os.urandom(32 * MIB + number))
        connection = http.client.HTTPConnection(LOOPBACK, balancer.port, timeout=60)
        with file.open("rb") as body:
            connection.request("PUT", f"/upload/{number}", body)
        assert connection.getresponse().status == 201
        connection.close()
        return digest([file.read_bytes()]), digest([(nginx.root / "upload" / str(number)).read_bytes()])

    with ThreadPoolExecutor(4) as threads:
        for sent, received in threads.map(upload, range(4)):
            assert sent == received


@pytest.mark.parametrize("direction", [[], ["-R"], ["--bidir"]], ids=["upload", "download", "both"])
@pytest.mark.parametrize("streams", [1, 8])
def test_iperf3_carries_bulk(serve: Serve, iperf3_server: Iperf3, direction: list[str], streams: int) -> None:
    balancer = serve(Balancer.before(address(iperf3_server)))
    report = iperf3(balancer.port, "-n", "512M", "-P", str(streams), *direction)
    sent, received = (
        [total["bytes"] for name, total in report["end"].items() if name.startswith(f"sum_{what}")]
        for what in ("sent", "received")
    )
    assert max(sent) >= 512 * MIB
    assert min(received) > MIB  # it ends when one direction has sent all, and does not count what is under way then


# A database


def test_pgbench_loses_no_transaction(serve: Serve, postgres: Postgres) -> None:
    balancer = serve(Balancer.before(address(postgres)))
    pgbench(balancer.port, "--initialize", "--quiet")
    report = pgbench(balancer.port, "--client=8", "--jobs=2", "--transactions=200")
    assert "number of transactions actually processed: 1600/1600" in report
    assert "number of failed transactions: 0" in report
    assert psql(balancer.port, "SELECT count(*) FROM pgbench_history") == "1600"


def test_pgbench_loses_no_transaction_with_a_connection_for_each(serve: Serve, postgres: Postgres) -> None:
    balancer = serve(Balancer.before(address(postgres)))
    report = pgbench(balancer.port, "--select-only", "--connect", "--client=8", "--transactions=50")
    assert "number of transactions actually processed: 400/400" in report


def test_a_table_copied_in_and_out_is_the_same(serve: Serve, postgres: Postgres, tmp_path: Path) -> None:
    balancer = serve(Balancer.before(address(postgres)))
    rows = tmp_path / "rows"
    rows.write_text("".join(f"{number}\t{os.urandom(20).hex()}\n" for number in range(200_000)))
    psql(balancer.port, "CREATE TABLE IF NOT EXISTS copied (number int, text text); TRUNCATE copied")
    psql(balancer.port, f"\\copy copied FROM '{rows}'")
    psql(balancer.port, f"\\copy (SELECT * FROM copied ORDER BY number) TO '{tmp_path / 'back'}'")
    assert digest([(tmp_path / "back").read_bytes()]) == digest([rows.read_bytes()])


# Addresses


def test_an_ipv6_listener_serves_from_an_ipv6_backend(serve: Serve, nginx: Nginx) -> None:
    expected = nginx.write_random("file", 2 * MIB)
    port = free_port()
    serve(Balancer.before(f"[::1]:{nginx.port}", bind=f"[::1]:{port}"))
    assert digest([fetch(port, "/file", host="::1")]) == expected
    assert fetch(port, "/peer", host="::1").startswith(b"::1:")


def test_a_listener_without_a_host_serves_both_families(serve: Serve, nginx: Nginx) -> None:
    port = free_port()
    serve(Balancer.before(address(nginx), bind=f":{port}"))
    assert fetch(port, "/name") == fetch(port, "/name", host="::1") == b"nginx"


def test_a_unix_socket_backend(serve: Serve, nginx: Nginx) -> None:
    expected = nginx.write_random("file", 2 * MIB)
    balancer = serve(Balancer.before(f"unix:{nginx.socket}"))
    assert digest([fetch(balancer.port, "/file")]) == expected


def test_a_unix_socket_listener(serve: Serve, nginx: Nginx, tmp_path: Path) -> None:
    """And its file is gone when the balancer has ended."""
    expected = nginx.write_random("file", 2 * MIB)
    path = tmp_path / "listener"
    balancer = serve(Balancer.before(address(nginx), bind=f"unix:{path}"))
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET /file HTTP/1.0\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert digest([response.read()]) == expected
    balancer.stop()
    assert not path.exists()


def test_a_backend_may_be_a_host_name(serve: Serve, nginx: Nginx) -> None:
    """It is resolved before the first connection is taken."""
    balancer = serve(Balancer.before(f"localhost:{nginx.port}"))
    assert fetch(balancer.port, "/name") == b"nginx"


def test_the_balancer_ends_with_status_0(serve: Serve, nginx: Nginx) -> None:
    balancer = serve(Balancer.before(address(nginx)))
    assert fetch(balancer.port, "/name") == b"nginx"
    balancer.stop()
    assert balancer.status == 0
