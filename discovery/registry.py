"""Kind -> where its code lies. Nothing is imported before a config names it.

Third parties add kinds by the entry point group `pygobetween.discovery`: the name is the kind, the object is a
Discovery subclass whose attribute `Options` is its options class. A name of ours stays ours.
"""

import difflib
import importlib
import importlib.metadata
import importlib.util
from dataclasses import dataclass

from discovery.contract import Discovery, DiscoveryError, Options

GROUP = "pygobetween.discovery"


@dataclass(frozen=True, slots=True)
class Kind:
    """A row: import paths as "module:Class". That of the options works without the packages that the kind needs."""

    options: str
    discovery: str
    extra: str = ""
    """The extra of our package that brings what this kind needs..."""
    needs: tuple[str, ...] = ()
    """...which are these top-level modules."""


KINDS: dict[str, Kind] = {
    "static": Kind("discovery.static:StaticOptions", "discovery.static:Static"),
    "srv": Kind("discovery.srv:SrvOptions", "discovery.srv:Srv"),
    "docker": Kind(
        "discovery.docker.options:DockerOptions", "discovery.docker.kind:Docker", extra="docker", needs=("docker",)
    ),
    "json": Kind("discovery.json:JsonOptions", "discovery.json:Json"),
    "plaintext": Kind("discovery.plaintext:PlaintextOptions", "discovery.plaintext:Plaintext"),
    "exec": Kind("discovery.exec:ExecOptions", "discovery.exec:Exec"),
    "consul": Kind(
        "discovery.consul.options:ConsulOptions",
        "discovery.consul.kind:ConsulDiscovery",
        extra="consul",
        needs=("consul",),
    ),
    "lxd": Kind("discovery.lxd.options:LxdOptions", "discovery.lxd.kind:Lxd", extra="lxd", needs=("pylxd",)),
    "dns": Kind("discovery.dns:DnsOptions", "discovery.dns:Dns"),
    "file": Kind("discovery.file:FileOptions", "discovery.file:File"),
    "etcd": Kind("discovery.etcd:EtcdOptions", "discovery.etcd:Etcd"),
}


class UnknownKindError(DiscoveryError):
    """No row and no entry point of that name."""

    def __init__(self, kind: str, known: list[str]) -> None:
        self.kind, self.known = kind, known
        close = difflib.get_close_matches(kind, known, n=1)
        self.suggestion: str | None = close[0] if close else None
        hint = f" (did you mean {self.suggestion!r}?)" if self.suggestion else ""
        super().__init__(f"unknown discovery kind {kind!r}{hint}: known are {', '.join(known)}")


class NotAvailableError(DiscoveryError):
    """The kind is known, but a package that it needs is not installed."""


class BrokenPluginError(DiscoveryError):
    """An entry point that cannot be loaded, or whose object is no Discovery."""


def kinds() -> list[str]:
    """Every kind there is: ours in the order of the table, then the plugins' by name. Imports none of them."""
    return [*KINDS, *sorted({point.name for point in _points()} - KINDS.keys())]


def options_of(kind: str) -> type[Options]:
    """The options class of a kind. Needs no optional dependency.

    Raises UnknownKindError or BrokenPluginError.
    """
    if kind not in KINDS:
        return _plugin(kind).Options
    options: type[Options] = _import(KINDS[kind].options)
    return options


def load(kind: str) -> type[Discovery]:
    """The class of a kind, ready to be constructed with its validated options.

    Raises UnknownKindError, NotAvailableError (with the remedy) or BrokenPluginError.
    """
    if kind not in KINDS:
        return _plugin(kind)
    row = KINDS[kind]
    for module in row.needs:
        if importlib.util.find_spec(module) is None:
            raise NotAvailableError(
                f"discovery kind {kind!r} needs the Python package {module!r}: pip install 'pygobetween[{row.extra}]'"
            )
    discovery: type[Discovery] = _import(row.discovery)
    return discovery


def _import(path: str) -> type:
    module, _, name = path.partition(":")
    found: type = getattr(importlib.import_module(module), name)
    return found


def _points() -> importlib.metadata.EntryPoints:
    return importlib.metadata.entry_points(group=GROUP)


def _plugin(kind: str) -> type[Discovery]:
    points = list(_points().select(name=kind))
    if not points:
        raise UnknownKindError(kind, kinds())
    if len(points) > 1:
        names = " and ".join(_origin(point) for point in points)
        raise BrokenPluginError(f"discovery kind {kind!r} is claimed twice, by {names}: uninstall one")
    where = f"discovery kind {kind!r} of {_origin(points[0])}"
    try:
        found = points[0].load()
    except Exception as error:
        raise BrokenPluginError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Discovery)):
        raise BrokenPluginError(f"{where} is no subclass of discovery.contract.Discovery")
    options = getattr(found, "Options", None)
    if not (isinstance(options, type) and issubclass(options, Options)):
        raise BrokenPluginError(f"{where} has no attribute Options that is a subclass of discovery.contract.Options")
    return found


def _origin(point: importlib.metadata.EntryPoint) -> str:
    distribution = f"distribution {point.dist.name!r}" if point.dist else "an unnamed distribution"
    return f"{distribution} (entry point {point.name} = {point.value})"
