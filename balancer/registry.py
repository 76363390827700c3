"""Balancing algorithms by name: ours here, others by entry points of the group "pygobetween.balancers"."""

from importlib import import_module
from importlib.metadata import entry_points

from balancer.algorithm import Algorithm

GROUP = "pygobetween.balancers"
BUILT_IN = {
    "iphash": "balancer.iphash:IpHash",
    "iphash1": "balancer.iphash1:IpHash1",
    "leastbandwidth": "balancer.leastbandwidth:LeastBandwidth",
    "leastconn": "balancer.leastconn:LeastConn",
    "maglev": "balancer.maglev:Maglev",
    "p2c": "balancer.p2c:PowerOfTwoChoices",
    "roundrobin": "balancer.roundrobin:RoundRobin",
    "weight": "balancer.weight:Weight",
}


class UnknownAlgorithmError(LookupError):
    """No algorithm of that name; the message lists those there are."""


def names() -> list[str]:
    """All names that `load` knows, sorted."""
    return sorted({*BUILT_IN, *entry_points(group=GROUP).names})


def load(name: str) -> type[Algorithm]:
    """The algorithm of that name, imported now; ours come before another's of the same name.

    Raises:
        UnknownAlgorithmError: there is none.
        ImportError: its entry point cannot be loaded.
        TypeError: its entry point names something that is no Algorithm.
    """
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        found = getattr(import_module(module), attribute)
    elif plugins := entry_points(group=GROUP, name=name):
        point = next(iter(plugins))
        try:
            found = point.load()
        except Exception as error:
            raise ImportError(f"balancing algorithm {name!r} ({point.value}) cannot be loaded: {error}") from error
    else:
        raise UnknownAlgorithmError(f"unknown balancing algorithm {name!r}; there are {', '.join(names())}")
    if not (isinstance(found, type) and issubclass(found, Algorithm)):
        raise TypeError(f"balancing algorithm {name!r} is {found!r}, not a subclass of balancer.Algorithm")
    return found
