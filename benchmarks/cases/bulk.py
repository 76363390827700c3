"""As many bytes as go through."""

import time

from benchmarks.cases.contract import Case, cpu_per_unit
from benchmarks.load import sink
from benchmarks.peers import Proxy
from benchmarks.summary import Metric, Sample

GB = 1e9
VERIFIED = 256 << 20  # bytes compared one by one before the first measurement


class Bulk(Case):
    """Downloads: the backends send without end, the clients count; once before, every byte is compared."""

    kinds = ("source",)
    metrics = (Metric("rate", "GB/s", higher_is_better=True), Metric("cpu", "CPU s/GB"))
    placement = "split"

    def __init__(self, streams: int) -> None:
        self.name = f"bulk-{streams}"
        self.title = f"bulk: {streams} stream{'s'[: streams > 1]}, backend to client"
        self._streams = streams

    def prepare(self, peer: str, proxy: Proxy) -> None:
        sink.verify(proxy.fronts["source"], VERIFIED)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        until = time.monotonic() + seconds
        before = proxy.cpu_seconds()
        drained = sink.drain(proxy.fronts["source"], self._streams, lambda: time.monotonic() < until)
        used = proxy.cpu_seconds() - before
        return {"rate": drained.bytes / drained.seconds / GB, **cpu_per_unit(proxy, used, drained.bytes, GB)}
