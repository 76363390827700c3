"""Many instances of a service at once."""

from collections.abc import Sequence

from tests.services.consul import Agent

_OPERATIONS = 64  # that Consul takes in one transaction


def register_many(agent: Agent, service: str, port: int, addresses: Sequence[str]) -> None:
    """Registers an instance at each address, on a node without an agent."""
    entries = [
        {"ID": f"{service}-{address}", "Service": service, "Address": address, "Port": port} for address in addresses
    ]
    agent.register_external("farm", "127.0.0.9", entries[:1])
    for start in range(1, len(entries), _OPERATIONS):
        batch = entries[start : start + _OPERATIONS]
        agent.api.put("/v1/txn", [{"Service": {"Verb": "set", "Node": "farm", "Service": one}} for one in batch])
