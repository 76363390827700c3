"""A connection for every request."""

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import ab
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

WARM_UP = 2000
MOST = 60_000  # connections of one measurement


class Connections(Case):
    """Accept, connect, one HTTP request, close; 20 clients at once."""

    name = "connections"
    title = "connections: ab, 20 clients, HTTP/1.0, one request each"
    kinds = ("http",)
    metrics = (Metric("rate", "connections/s", higher_is_better=True), Metric("cpu", "CPU µs/connection"))

    def __init__(self) -> None:
        self._rates: dict[str, float] = {}

    def prepare(self, peer: str, proxy: Proxy) -> None:
        self._rates[peer] = ab.run(proxy.fronts["http"], WARM_UP, 20)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        count = min(MOST, max(WARM_UP, int(self._rates[peer] * seconds)))
        before = proxy.cpu_seconds()
        rate = ab.run(proxy.fronts["http"], count, 20)
        return {"rate": rate, **cpu_per_unit(proxy, proxy.cpu_seconds() - before, count, 1e6)}
