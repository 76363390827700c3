"""TLS that the proxy terminates: a handshake for every request."""

import ssl

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import handshakes
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

WARM_UP = 500
MOST = 20_000  # connections of one measurement
CLIENTS = 20


class Handshakes(Case):
    """Accept, handshake, connect, one HTTP request, close_notify and close; 20 clients at once.

    Args:
        version: of TLS.
        resumed: by a ticket, instead of in full.
    """

    kinds = ("https",)
    metrics = (Metric("rate", "connections/s", higher_is_better=True), Metric("cpu", "CPU µs/connection"))

    def __init__(self, name: str, version: ssl.TLSVersion, *, resumed: bool) -> None:
        self.name = name
        kind = "resumed by a ticket" if resumed else "full, ECDSA P-256"
        spoken = version.name.replace("v", " ").replace("_", ".")
        self.title = f"{name}: {CLIENTS} clients, {spoken}, one handshake ({kind}) and one request each"
        self._version = version
        self._resumed = resumed
        self._rates: dict[str, float] = {}

    def prepare(self, peer: str, proxy: Proxy) -> None:
        self._rates[peer] = self._run(proxy, WARM_UP)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        count = min(MOST, max(WARM_UP, int(self._rates[peer] * seconds)))
        before = proxy.cpu_seconds()
        rate = self._run(proxy, count)
        # A resumed run begins with a full handshake for its ticket: one of hundreds at least.
        return {"rate": rate, **cpu_per_unit(proxy, proxy.cpu_seconds() - before, count, 1e6)}

    def _run(self, proxy: Proxy, count: int) -> float:
        return handshakes.run(proxy.fronts["https"], count, CLIENTS, version=self._version, resumed=self._resumed)
