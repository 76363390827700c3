"""As many bytes as go through."""

import time

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import sink
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

GB = 1e9
VERIFIED = 256 << 20  # bytes compared one by one before the first measurement


class Bulk(Case):
    """Downloads: the backends send without end, the clients count; once before, every byte is compared.

    Args:
        tls: the proxy terminates TLS.
    """

    metrics = (Metric("rate", "GB/s", higher_is_better=True), Metric("cpu", "CPU s/GB"))
    placement = "split"

    def __init__(self, streams: int, *, tls: bool = False) -> None:
        self.name = f"{'tls-' * tls}bulk-{streams}"
        over = ", over TLS 1.3 from the proxy on" * tls
        self.title = f"{self.name}: {streams} stream{'s'[: streams > 1]}, backend to client{over}"
        self.kinds = ("tls_source",) if tls else ("source",)
        self._streams = streams
        self._tls = tls

    def prepare(self, peer: str, proxy: Proxy) -> None:
        sink.verify(proxy.fronts[self.kinds[0]], VERIFIED, tls=self._tls)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        until = time.monotonic() + seconds
        before = proxy.cpu_seconds()
        drained = sink.drain(
            proxy.fronts[self.kinds[0]], self._streams, lambda: time.monotonic() < until, tls=self._tls
        )
        used = proxy.cpu_seconds() - before
        return {"rate": drained.bytes / drained.seconds / GB, **cpu_per_unit(proxy, used, drained.bytes, GB)}
