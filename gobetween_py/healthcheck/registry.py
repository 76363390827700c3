"""Kind of check -> where its code lies. Nothing is imported before a config names it.

Third parties add kinds by the entry point group `pygobetween.healthchecks`: the name is the kind, the object is a Check
subclass whose attribute `Options` is its options class.
"""

from importlib import import_module
from importlib.metadata import entry_points

from gobetween_py.healthcheck.contract import Check, Options

GROUP = "pygobetween.healthchecks"
NONE = "none"
"""The kind that never checks: it has the keys that all kinds have, and no class."""
BUILT_IN = {
    "ping": "gobetween_py.healthcheck.ping:Ping",
    "probe": "gobetween_py.healthcheck.probe:Probe",
    "http": "gobetween_py.healthcheck.http:Http",
    "exec": "gobetween_py.healthcheck.exec:Exec",
}


class UnknownKindError(LookupError):
    """No kind of that name."""

    def __init__(self, kind: str) -> None:
        self.known = kinds()
        super().__init__(f"unknown kind of health check {kind!r}; there are {', '.join(self.known)}")


class BrokenPluginError(ImportError):
    """An entry point that cannot be loaded, or whose object is no Check with Options."""


def kinds() -> list[str]:
    """Every kind there is: ours, then the plugins' by name. Imports none of them."""
    return [NONE, *BUILT_IN, *sorted(entry_points(group=GROUP).names - BUILT_IN.keys() - {NONE})]


def options_of(kind: str) -> type[Options]:
    """The options class of a kind. Raises UnknownKindError or BrokenPluginError."""
    return Options if kind == NONE else load(kind).Options


def keys_of_others(kind: str) -> set[str]:
    """The keys that kinds of ours have, but not this one. Raises as options_of."""
    every = {key for other in BUILT_IN for key in options_of(other).model_fields}
    return every - options_of(kind).model_fields.keys()


def load(kind: str) -> type[Check]:
    """The class of a kind other than NONE; ours come before a plugin's of the same name.

    Raises UnknownKindError or BrokenPluginError.
    """
    if kind in BUILT_IN:
        module, _, name = BUILT_IN[kind].partition(":")
        ours: type[Check] = getattr(import_module(module), name)
        return ours
    points = list(entry_points(group=GROUP, name=kind))
    if not points:
        raise UnknownKindError(kind)
    where = f"health check kind {kind!r} ({points[0].value})"
    try:
        found = points[0].load()
    except Exception as error:
        raise BrokenPluginError(f"{where} cannot be loaded: {type(error).__name__}: {error}") from error
    if not (isinstance(found, type) and issubclass(found, Check)):
        raise BrokenPluginError(f"{where} is no subclass of gobetween_py.healthcheck.contract.Check")
    if not (isinstance(getattr(found, "Options", None), type) and issubclass(found.Options, Options)):
        raise BrokenPluginError(f"{where} has no attribute Options that is a subclass of Options of the same module")
    return found
