"""Small messages over connections that stay open."""

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import ping, redis_benchmark
from benchmarks.load.redis_benchmark import Pings
from benchmarks.net import Address
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

WARM_UP = 5000
MOST = 1_000_000  # messages of one measurement


class Messages(Case):
    """redis PING and PONG, one message in flight per client."""

    kinds = ("redis",)
    metrics = (
        Metric("rate", "messages/s", higher_is_better=True),
        Metric("cpu", "CPU µs/message"),
        Metric("p50", "p50 µs"),
        Metric("p99", "p99 µs"),
    )

    def __init__(self, clients: int) -> None:
        self.name = f"messages-{clients}"
        self.title = f"messages: redis PING, {clients} client{'s'[: clients > 1]}, one in flight each"
        self._clients = clients
        self._rates: dict[str, float] = {}

    def prepare(self, peer: str, proxy: Proxy) -> None:
        self._rates[peer] = self._send(proxy.fronts["redis"], WARM_UP).rate

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        count = min(MOST, max(WARM_UP, int(self._rates[peer] * seconds)))
        before = proxy.cpu_seconds()
        pings = self._send(proxy.fronts["redis"], count)
        used = proxy.cpu_seconds() - before
        return {"rate": pings.rate, **cpu_per_unit(proxy, used, count, 1e6), "p50": pings.p50, "p99": pings.p99}

    def _send(self, address: Address, count: int) -> Pings:
        if self._clients == 1:
            return ping.run(address, lambda sent: sent < count)
        return redis_benchmark.run(address, count, self._clients)
