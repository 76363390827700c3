"""nginx, redis, iperf3 and PostgreSQL: each starts, answers on every address it has, stops, and leaves no process."""

import hashlib
import http.client
import socket
import urllib.request

from tests.integration.conftest import Serve
from tests.services import leaks
from tests.services.iperf3 import Iperf3, iperf3
from tests.services.nginx import Nginx
from tests.services.postgres import Postgres, pgbench, psql
from tests.services.redis import Redis, redis_cli


def test_nginx_serves_a_file_on_ipv4_ipv6_and_a_unix_socket(nginx: Nginx) -> None:
    digest = nginx.write_random("folder/file", 100_000)
    for url in f"{nginx.url}/folder/file", f"http://[::1]:{nginx.port}/folder/file":
        with urllib.request.urlopen(url) as response:
            assert hashlib.sha256(response.read()).hexdigest() == digest
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(nginx.socket))
        connection.sendall(b"GET /name HTTP/1.0\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        assert response.read() == b"nginx"


def test_nginx_tells_its_label(serve: Serve) -> None:
    for label in "one", "two":
        with urllib.request.urlopen(f"{serve(Nginx(label)).url}/name") as response:
            assert response.read() == label.encode()


def test_redis_keeps_values(redis: Redis) -> None:
    assert redis_cli(redis.port, "SET", "key", "value") == "OK"
    assert redis_cli(redis.port, "GET", "key") == "value"
    assert redis_cli(redis.port, "GET", "key", host="::1") == "value"


def test_iperf3_carries_bytes_both_ways(iperf3_server: Iperf3) -> None:
    for direction in [], ["-R"]:
        report = iperf3(iperf3_server.port, "-n", "10M", *direction)
        assert report["end"]["sum_sent"]["bytes"] >= 10 * 2**20
        assert report["end"]["sum_received"]["bytes"] > 5 * 2**20  # it does not count what is under way at the end


def test_postgres_answers_queries_and_carries_a_benchmark(postgres: Postgres) -> None:
    assert psql(postgres.port, "SELECT 6 * 7, 'text'") == "42|text"
    pgbench(postgres.port, "--initialize", "--quiet")
    assert "number of failed transactions: 0" in pgbench(postgres.port, "--transactions=10", "--client=2")
    assert psql(postgres.port, "SELECT count(*) FROM pgbench_history", host="::1") == "20"


def test_postgres_keeps_its_data_over_a_restart(serve: Serve) -> None:
    postgres = serve(Postgres())
    psql(postgres.port, "CREATE TABLE kept AS SELECT 7 AS value")
    postgres.restart()
    assert psql(postgres.port, "SELECT value FROM kept") == "7"


def test_none_leaves_a_process() -> None:
    before = {process.pid for process in leaks.children()}
    for server in Nginx(), Redis(), Iperf3(), Postgres():
        with server:
            assert len(leaks.children()) > len(before)
    assert {process.pid for process in leaks.children()} <= before
