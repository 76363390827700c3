"""ab, the Apache benchmark: a connection for every request."""

import re
import subprocess

from benchmarks.net import Address

PATIENCE = 120.0  # seconds until a run counts as hung


def run(address: Address, requests: int, clients: int, *, name: str = "") -> float:
    """Sends `requests` HTTP/1.0 requests, each over a connection of its own, `clients` at once; connections per second.

    Args:
        name: over TLS, asking for this server name; it has to mean the address's host.

    Raises:
        ValueError: some of them failed, or ab printed nothing of the kind.
        subprocess.SubprocessError: ab gave up, or hung.
    """
    url = f"https://{name}:{address.port}/" if name else f"http://{address}/"
    command = ["ab", "-q", "-r", "-s", "10", "-n", str(requests), "-c", str(clients), url]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, timeout=PATIENCE).stdout
    return parse(printed, requests)


def parse(printed: str, requests: int) -> float:
    """Connections per second out of what ab printed, after making sure that all `requests` were answered with 2xx."""
    figures = dict(re.findall(r"^([A-Z][\w -]+):\s+([\d.]+)", printed, re.MULTILINE))
    bad = {name: figures[name] for name in ("Failed requests", "Non-2xx responses") if float(figures.get(name, 0))}
    if bad or float(figures.get("Complete requests", 0)) != requests:
        complete = figures.get("Complete requests", 0)
        raise ValueError(f"ab: {complete} of {requests} requests complete, {bad or 'none failed'}")
    return float(figures["Requests per second"])
