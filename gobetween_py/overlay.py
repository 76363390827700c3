"""What is set by hand about the backends of a server, laid over what discovery finds.

It stands between discovery's answer and the pool, so that it outlives every later answer: a manual backend stays, a
changed weight stays changed, a drained backend stays drained, also while it is not found for a while.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from balancer import Backend, BackendSpec, Pool
from gobetween_py.config.override import Override

Key = tuple[str, int]
"""Host and port of a backend."""


class Overlay:
    """The overrides of one server, by backend.

    Attributes:
        found: the last answer of discovery, to be set by who gets it.
        overrides: what is set by hand; replaced as a whole, never changed in place.
    """

    def __init__(self, overrides: Iterable[Override] = ()) -> None:
        self.found: Sequence[BackendSpec] = ()
        self.overrides: Mapping[Key, Override] = {override.key: override for override in overrides}
        self._held: frozenset[Backend] = frozenset()

    def specs(self) -> Iterator[BackendSpec]:
        """What the pool is to list."""
        overrides = self.overrides
        if not overrides:
            yield from self.found
            return
        left = dict(overrides)
        for spec in self.found:
            override = left.pop((spec.host, spec.port), None)
            yield spec if override is None else override.over(spec)
        for key, override in left.items():
            if override.manual:
                yield override.over(BackendSpec(*key))

    def hold(self, pool: Pool) -> frozenset[Backend]:
        """Take out of the pool's picks what is not ready, and let in again what is; returns what was let in."""
        not_ready = (pool.find(*override.key) for override in self.overrides.values() if override.state != "ready")
        held = frozenset(backend for backend in not_ready if backend is not None)
        let_in, self._held = self._held - held, held
        for backend in let_in:
            pool.set_held(backend, False)
        for backend in held:
            pool.set_held(backend, True)
        return let_in

    def set(self, override: Override) -> None:
        """Lay this over its backend, instead of what was set before."""
        self.overrides = {**self.overrides, override.key: override}

    def remove(self, key: Key) -> None:
        """Set nothing about a backend any more; nothing happens where nothing was set."""
        self.overrides = {other: override for other, override in self.overrides.items() if other != key}

    def change(self, before: Iterable[Override], after: Iterable[Override]) -> None:
        """The config has other overrides than before; what was set otherwise since then stays."""
        old, new = {override.key: override for override in before}, {override.key: override for override in after}
        for key in old.keys() - new.keys():
            self.remove(key)
        for key, override in new.items():
            if old.get(key) != override:
                self.set(override)

    def is_found(self, key: Key) -> bool:
        """Whether discovery finds this backend now."""
        return any(spec.key == key for spec in self.found)
