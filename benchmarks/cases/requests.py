"""Requests over TLS connections that stay open."""

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import wrk
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

WARM_UP = 1.0  # seconds


class Requests(Case):
    """HTTP over TLS that the proxy terminates: one request in flight per client."""

    kinds = ("https",)
    metrics = (
        Metric("rate", "requests/s", higher_is_better=True),
        Metric("cpu", "CPU µs/request"),
        Metric("p50", "p50 µs"),
        Metric("p99", "p99 µs"),
    )

    def __init__(self, clients: int) -> None:
        self.name = f"requests-{clients}"
        self.title = f"requests-{clients}: wrk over TLS 1.3, {clients} connections, one request in flight each"
        self._clients = clients

    def prepare(self, peer: str, proxy: Proxy) -> None:
        wrk.run(proxy.fronts["https"], self._clients, WARM_UP)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        before = proxy.cpu_seconds()
        had = wrk.run(proxy.fronts["https"], self._clients, seconds)
        # The handshakes are in it, once per connection: 0.1 % of the requests and less than 2 % of the CPU.
        used = proxy.cpu_seconds() - before
        return {"rate": had.rate, **cpu_per_unit(proxy, used, had.count, 1e6), "p50": had.p50, "p99": had.p99}
