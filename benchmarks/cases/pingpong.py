"""One quiet connection beside busy ones."""

import json
import subprocess
import sys

from benchmarks.cases.bulk import GB
from benchmarks.cases.contract import Case
from benchmarks.load import sink
from benchmarks.peers import Proxy
from benchmarks.process import stop
from benchmarks.summary import Metric, Sample

STREAMS = 8
LONGER = 2  # than other cases: a round trip may take milliseconds here, and p99 wants hundreds of them


class PingPong(Case):
    """Round trips of one redis connection while eight downloads go through the same proxy process.

    The pinging client and redis have real-time priority: they share a CPU with the downloads' ends, and how long these
    keep them waiting is no matter of the proxy.
    """

    name = "pingpong"
    title = f"ping-pong: redis PING, 1 client, beside {STREAMS} bulk streams"
    kinds = ("redis", "source")
    metrics = (Metric("p50", "p50 µs"), Metric("p99", "p99 µs"), Metric("bulk", "bulk GB/s", higher_is_better=True))
    placement = "split"
    urgent = ("redis",)

    def measure(self, peer: str, proxy: Proxy, seconds: float) -> Sample:
        command = [sys.executable, "-m", "benchmarks.load.ping", str(proxy.fronts["redis"]), str(LONGER * seconds)]
        client = subprocess.Popen(command, stdout=subprocess.PIPE, start_new_session=True)
        try:
            drained = sink.drain(proxy.fronts["source"], STREAMS, lambda: client.poll() is None)
            printed, _ = client.communicate()
        finally:
            stop(client)
        pings = json.loads(printed)
        return {"p50": pings["p50"], "p99": pings["p99"], "bulk": drained.bytes / drained.seconds / GB}
