"""`consul`: the instances of a Consul service. options.py holds the keys of its config."""

from discovery.consul.options import ConsulOptions

__all__ = ["ConsulOptions"]
