"""UDP: questions and answers."""

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import datagrams
from benchmarks.load.datagrams import Answers
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

WARM_UP = 5000
MOST = 1_000_000  # questions of one measurement


class Datagrams(Case):
    """One datagram there and one back, one under way per client.

    Args:
        clients: sockets.
        once: a new socket, and so a new session, for each question: what DNS resolvers do.
    """

    metrics = (
        Metric("rate", "answers/s", higher_is_better=True),
        Metric("cpu", "CPU µs/answer"),
        Metric("p50", "p50 µs"),
        Metric("p99", "p99 µs"),
    )

    def __init__(self, name: str, clients: int, *, once: bool = False) -> None:
        self.name = name
        port = ", each from a port of its own" if once else ""
        self.title = f"{name}: UDP, {clients} client{'s'[: clients > 1]}, one question in flight each{port}"
        self.kinds = ("queries" if once else "echo",)
        self._clients = clients
        self._once = once
        self._rates: dict[str, float] = {}

    def prepare(self, peer: str, proxy: Proxy) -> None:
        self._rates[peer] = self._ask(proxy, WARM_UP).rate

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        count = min(MOST, max(WARM_UP, int(self._rates[peer] * seconds)))
        before = proxy.cpu_seconds()
        answers = self._ask(proxy, count)
        used = proxy.cpu_seconds() - before
        return {"rate": answers.rate, **cpu_per_unit(proxy, used, count, 1e6), "p50": answers.p50, "p99": answers.p99}

    def _ask(self, proxy: Proxy, count: int) -> Answers:
        most = count - self._clients + 1  # the answers after which no more questions are asked
        return datagrams.run(proxy.fronts[self.kinds[0]], self._clients, lambda had: had < most, once=self._once)
