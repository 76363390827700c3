"""The field's load generators, run against a server or a balancer before it; each returns what it counted."""

import re
import subprocess
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import cycle, islice

from tests.services import apt
from tests.services.process import LOOPBACK


@dataclass(frozen=True)
class HttpLoad:
    """What ab or wrk saw."""

    complete: int
    failed: int
    body_bytes: int
    """Of all bodies together; 0 where the generator does not count them apart."""
    report: str


def ab(url: str, *, requests: int, clients: int, keep_alive: bool = False) -> HttpLoad:
    """`requests` GETs over `clients` connections at a time; without keep_alive each over a connection of its own."""
    flags = ["-k"] if keep_alive else []
    report = _run(apt.command("ab", "apache2-utils"), "-q", *flags, "-n", str(requests), "-c", str(clients), url)
    return HttpLoad(
        complete=_count(r"Complete requests:\s+(\d+)", report),
        failed=_count(r"Failed requests:\s+(\d+)", report) + _count(r"Non-2xx responses:\s+(\d+)", report),
        body_bytes=_count(r"HTML transferred:\s+(\d+)", report),
        report=report,
    )


def wrk(url: str, *, seconds: int, clients: int) -> HttpLoad:
    """As many GETs as fit into `seconds` over `clients` connections that stay open."""
    report = _run(apt.command("wrk", "wrk"), "-t", "1", "-c", str(clients), "-d", f"{seconds}s", url)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", report)
    failed = sum(int(number) for number in errors.groups()) if errors else 0
    return HttpLoad(
        complete=_count(r"(\d+) requests in", report),
        failed=failed + _count(r"Non-2xx or 3xx responses: (\d+)", report),
        body_bytes=0,
        report=report,
    )


def redis_benchmark(port: int, *, command: str, requests: int, clients: int, size: int, pipeline: int = 1) -> str:
    """Runs one of redis-benchmark's commands ("set", "get") on values of `size` bytes; RuntimeError on any error.

    It sends exactly `requests` where that is a multiple of `pipeline`.
    """
    flags = ["-t", command, "-n", requests, "-c", clients, "-d", size, "-P", pipeline, "-r", 1000, "--csv"]
    program = apt.command("redis-benchmark", "redis-tools")
    report = _run(program, "-h", LOOPBACK, "-p", str(port), *(str(flag) for flag in flags))
    if "rror" in report:
        raise RuntimeError(report)
    return report


@dataclass(frozen=True)
class DnsLoad:
    """What dnsperf saw: queries sent, answered with NOERROR, and given up after 5 s."""

    sent: int
    answered: int
    lost: int


def dnsperf(
    port: int,
    questions: Iterable[str],
    *,
    queries: int,
    clients: int = 1,
    outstanding: int = 100,
    rate: int | None = None,
    host: str = LOOPBACK,
) -> DnsLoad:
    """`queries` queries over UDP, of the questions ("name type") in turn, `outstanding` at a time in all.

    A client is a socket; `rate` is queries a second at most.
    """
    flags = ["-s", host, "-p", port, "-c", clients, "-q", outstanding, "-n", 1]
    if rate is not None:
        flags += ["-Q", rate]
    asked = "".join(f"{question}\n" for question in islice(cycle(questions), queries))
    report = _run(apt.command("dnsperf", "dnsperf"), *(str(flag) for flag in flags), stdin=asked)
    return DnsLoad(
        sent=_count(r"Queries sent:\s+(\d+)", report),
        answered=_count(r"NOERROR (\d+)", report),
        lost=_count(r"Queries lost:\s+(\d+)", report),
    )


def _run(*command: str, stdin: str = "") -> str:
    done = subprocess.run(
        command, input=stdin, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=90
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]}: exit status {done.returncode}\n{done.stdout}")
    return done.stdout


def _count(pattern: str, report: str) -> int:
    """The number that the pattern finds; 0 for a line that is only there when it has something to say."""
    found = re.search(pattern, report)
    return int(found[1]) if found else 0
