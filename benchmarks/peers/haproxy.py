"""HAProxy in TCP mode with one thread."""

from benchmarks.peers.program import Program

HAPROXY = Program(
    name="haproxy",
    template="haproxy.cfg",
    backend_line="    server s$number $address weight $weight$options",
    options={"proxied": " send-proxy-v2"},
    command=lambda config: ["haproxy", "-db", "-f", str(config)],
    lacks=("echo", "queries"),  # it does not relay UDP
    version_command=["haproxy", "-v"],
)
