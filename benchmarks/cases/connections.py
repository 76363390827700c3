"""A connection for every request."""

from benchmarks import certificate
from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import ab
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

WARM_UP = 2000
MOST = 60_000  # connections of one measurement


class Connections(Case):
    """Accept, connect, one HTTP request, close; 20 clients at once.

    Args:
        kind: of the backends.
        server_name: over TLS, with this name in the ClientHello.
    """

    metrics = (Metric("rate", "connections/s", higher_is_better=True), Metric("cpu", "CPU µs/connection"))

    def __init__(
        self, name: str = "connections", title: str = "", *, kind: str = "http", server_name: str = ""
    ) -> None:
        self.name = name
        self.title = f"{name}: ab, 20 clients, HTTP/1.0, one request each{title}"
        self.kinds = (kind,)
        self._server_name = server_name
        self._rates: dict[str, float] = {}

    def prepare(self, peer: str, proxy: Proxy) -> None:
        self._rates[peer] = self._run(proxy, WARM_UP)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        count = min(MOST, max(WARM_UP, int(self._rates[peer] * seconds)))
        before = proxy.cpu_seconds()
        rate = self._run(proxy, count)
        return {"rate": rate, **cpu_per_unit(proxy, proxy.cpu_seconds() - before, count, 1e6)}

    def _run(self, proxy: Proxy, count: int) -> float:
        return ab.run(proxy.fronts[self.kinds[0]], count, 20, name=self._server_name)


PROXIED = Connections("proxied", ", a PROXY header of version 2 (nginx: 1) for the backend", kind="proxied")
SNI = Connections("sni", " over TLS, backends by server name, not terminated", kind="tls", server_name=certificate.NAME)
