"""What health checks cost, and what relays notice of them: `python -m benchmarks.healthchecks`."""

import argparse
import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from benchmarks import machine
from benchmarks.backends import http, redis
from benchmarks.cpu import on_cpus, placement, process_cpu_seconds, realtime
from benchmarks.net import Address
from benchmarks.process import running
from tests.services.ports import free_port

HOSTS = 20
"""Loopback addresses that nginx listens on, each with its part of the ports."""

PROBE = r'probe_protocol = "tcp", probe_send = "GET / HTTP/1.0\\r\\n\\r\\n", probe_recv = "HTTP/1.1 200 OK"'
CHECKS: Mapping[str, str] = {
    "none": "",
    "ping": "",
    "probe": PROBE,
    "http": 'http_expected_body = "ok"',
    "haproxy tcp": "",
}
"""Rows: keys of the section healthcheck beside kind, interval and timeout; HAProxy for comparison."""

METHOD = """\
One nginx listens on all backends. The balancer has a second server before one redis, without checks. CPU is that of the
balancer's process alone, user and system; % is of one core.
  checks/s    that came to an end while nothing but the checks ran, as the API says
  % idle      CPU of the balancer while nothing but the checks runs
  µs/check    the same, less that of "none", for each of the checks
  p50, p99    µs of one client's redis PINGs through the balancer while the checks go on
The balancer has a CPU for itself; the client and redis share the other one with nginx. Balancer, client and redis
have real-time priority. Medians of the rounds, which take the rows in turn."""


@dataclass(frozen=True, slots=True)
class Bench:
    """What every balancer stands before."""

    backends: Sequence[Address]
    """Checked."""
    quick: Address
    """The redis."""
    interval: float
    """Seconds."""
    directory: Path


@dataclass(frozen=True, slots=True)
class Balancer:
    """A running one."""

    pid: int
    front: Address
    """Its server before redis."""
    api: Address | None

    def runs(self) -> int:
        """Checks that came to an end so far; 0 without an API."""
        if self.api is None:
            return 0
        with urlopen(f"http://{self.api}/healthchecks") as answer:
            return sum(each["runs"] for each in json.load(answer)["healthchecks"])


@dataclass(frozen=True, slots=True)
class Sample:
    """One round of one row: checks per second (0.0 where nobody tells), part of a core, µs."""

    checks: float
    share: float
    p50: float
    p99: float


def main() -> None:
    options = _parser().parse_args()
    names = [name.strip() for name in options.checks.split(",")]
    described = machine.describe({})
    told = "date", "CPU", "load before", "kernel", "Python", "uvloop"
    print(*(f"{key}: {described[key]}" for key in told), sep="\n")
    print(f"\n{METHOD}\n\n{options.backends:,} backends, a check of each every {options.interval:g} s", flush=True)
    samples: dict[str, list[Sample]] = {name: [] for name in names}
    where = placement("split")
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder, ExitStack() as stack:
        directory = Path(folder)
        stack.enter_context(on_cpus(0, where.rest))
        backends = list(_addresses(options.backends))
        ready = {backends[0]: b"GET / HTTP/1.0\r\n\r\n"}
        stack.enter_context(running(http.command(backends, directory), ready=ready, directory=directory))
        quick = Address("127.0.0.1", free_port())
        server = stack.enter_context(
            running(redis.command([quick], directory), ready={quick: b"PING\r\n"}, directory=directory)
        )
        stack.enter_context(realtime(server.pid))
        bench = Bench(backends, quick, options.interval, directory)
        for number in range(options.rounds):
            for name in names[number % len(names) :] + names[: number % len(names)]:
                with _balancer(bench, name, where.proxy) as balancer:
                    samples[name].append(_measure(balancer, options.seconds))
                    print(f"  round {number + 1}: {name:<12} {_figures(samples[name][-1:])}", flush=True)
    print(f"\n{'':<14}   checks/s   % idle  µs/check      p50      p99")
    base = statistics.median(sample.share for sample in samples["none"]) if "none" in samples else 0.0
    rate = options.backends / options.interval
    for name in names:
        share = statistics.median(sample.share for sample in samples[name])
        each = f"{(share - base) / rate * 1e6:10.1f}" if name != "none" else f"{'':>10}"
        figures = _figures(samples[name])
        print(f"{name:<14} {figures[:20]}{each}{figures[20:]}")
    if options.json:
        document = {"machine": described, "method": METHOD, "backends": options.backends, "samples": samples}
        options.json.write_text(json.dumps(document, default=dataclasses.asdict, indent=1, ensure_ascii=False) + "\n")


def _figures(samples: Sequence[Sample]) -> str:
    middle = {
        field.name: statistics.median(getattr(sample, field.name) for sample in samples)
        for field in dataclasses.fields(Sample)
    }
    return f"{middle['checks']:10.0f} {middle['share'] * 100:8.2f} {middle['p50']:8.1f} {middle['p99']:8.1f}"


def _measure(balancer: Balancer, seconds: float) -> Sample:
    """First the checks alone, then the PINGs beside them."""
    runs = balancer.runs()
    began, used = time.monotonic(), process_cpu_seconds(balancer.pid)
    time.sleep(seconds)
    took = time.monotonic() - began
    share = (process_cpu_seconds(balancer.pid) - used) / took
    checks = (balancer.runs() - runs) / (time.monotonic() - began)
    command = [sys.executable, "-m", "benchmarks.load.ping", str(balancer.front), str(seconds)]
    pings = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return Sample(checks, share, pings["p50"], pings["p99"])


@contextmanager
def _balancer(bench: Bench, name: str, cpus: frozenset[int]) -> Iterator[Balancer]:
    """One whose first checks are over."""
    front, web, api = (Address("127.0.0.1", free_port()) for _ in range(3))
    config = bench.directory / f"{front.port}.cfg"
    if name.startswith("haproxy"):
        config.write_text(_haproxy(bench, front, web))
        command = ["haproxy", "-f", str(config), "-db"]
    else:
        config.write_text(_ours(bench, name, front, web, api))
        command = [sys.executable, "-m", "gobetween_py", "-c", str(config)]
    ready = {front: b"PING\r\n", web: b"GET / HTTP/1.0\r\n\r\n"}
    with running(command, ready=ready, directory=bench.directory, cpus=cpus) as process, realtime(process.pid):
        time.sleep(2 * bench.interval + 1)
        yield Balancer(process.pid, front, None if name.startswith("haproxy") else api)


def _ours(bench: Bench, name: str, front: Address, web: Address, api: Address) -> str:
    keys = [f'kind = "{name}", interval = "{bench.interval:g}s", timeout = "1s"', CHECKS[name]]
    check = f"healthcheck = {{ {', '.join(filter(None, keys))} }}" if name != "none" else ""
    listed = ", ".join(f'"{address}"' for address in bench.backends)
    return f"""
[logging]
level = "warn"
[api]
enabled = true
bind = "{api}"
[servers.redis]
bind = "{front}"
discovery = {{ kind = "static", static_list = ["{bench.quick}"] }}
[servers.web]
bind = "{web}"
{check}
discovery = {{ kind = "static", static_list = [{listed}] }}
"""


def _haproxy(bench: Bench, front: Address, web: Address) -> str:
    servers = "\n".join(f"  server s{number} {address}" for number, address in enumerate(bench.backends))
    return f"""
global
  nbthread 1
  maxconn 1000
defaults
  mode tcp
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen redis
  bind {front}
  server r {bench.quick}
listen web
  bind {web}
  default-server check inter {round(bench.interval * 1000)} rise 1 fall 1
{servers}
"""


def _addresses(count: int) -> Iterator[Address]:
    """So many, in blocks of ports that are free on the first of HOSTS loopback addresses."""
    for number in range(HOSTS):
        for _ in range(count // HOSTS + (number < count % HOSTS)):
            yield Address(f"127.0.0.{number + 1}", free_port())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.healthchecks",
        description="Measures the CPU of health checks, and pings beside them.",
    )
    parser.add_argument("--checks", default=",".join(CHECKS), help="rows, of %(default)s")
    parser.add_argument("--backends", type=int, default=2000, help="(%(default)s)")
    parser.add_argument("--interval", type=float, default=1.0, help="seconds (%(default)g)")
    parser.add_argument("--seconds", type=float, default=5.0, help="of each measurement (%(default)g)")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all samples")
    return parser


if __name__ == "__main__":
    main()
