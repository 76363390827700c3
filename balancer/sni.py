"""Backends by the server name that a client asks for, and the protocols that it offers.

A backend's `sni` is a name, several with commas between, or a pattern; its `alpn` is one protocol or several. The two
are its label. The labels of the discovered backends say who is meant for whom, whether they are live or not: a client
whose backends are down gets none, not those of another name. Of names that fit, the exact one wins, then the longest
`*.` one, which stands for any number of labels (as in nginx and Envoy).

Each set of labels that some client means is a part of the pool, with tiers of its own, made when it is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence

from balancer.backend import Backend
from balancer.pool import Pool
from balancer.tiers import Tiers

Label = tuple[str, str]
"""(sni, alpn) of a backend's spec."""
Acquire = Callable[[str, Container[Backend]], Backend | None]
"""As Pool.acquire."""
Matcher = Callable[[str], bool]

REMEMBERED = 4096
"""Different wishes of clients whose answer is kept. They choose the names: what they fill is emptied."""
PARTS = 1024
"""Parts kept at most."""


class Part:
    """The backends of a pool that have one of some labels. Their connections are released at the pool."""

    def __init__(self, names: ServerNames, labels: Sequence[Label]) -> None:
        self._pool = names.pool
        self._names = names
        self._labels = labels
        self._state = -1  # of the pool, when this was built
        self.tiers = Tiers(self._pool.counters.values)

    def acquire(self, client: str, tried: Container[Backend] = ()) -> Backend | None:
        """As Pool.acquire."""
        state = self._pool.state()
        if state != self._state:
            self._state = state
            self._pool.build(self.tiers, self._names.labelled(self._labels))
        backend = self.tiers.choose(client)
        if backend.full or backend in tried:
            other = self.tiers.choose_other(client, tried)
            if other is None:
                return None
            backend = other
        self._pool.count(backend)
        return backend


class ServerNames:
    """Knows which part of a pool a client means.

    Args:
        pool: whose backends they are.
        unexpected: what a client gets that means no backend, or names none: "default" = the backends without sni,
            "any" = all, "reject" = none.
        compile: makes a backend's sni, as a pattern, tell whether it matches a name, and raises ValueError where it is
            none; None = they are names.
    """

    def __init__(self, pool: Pool, unexpected: str, compile: Callable[[str], Matcher] | None = None) -> None:
        self.pool = pool
        self._unexpected = unexpected
        self._compile = compile
        self._state = -1
        self._labels: frozenset[Label] = frozenset()
        self._nameless: list[Label] = []
        self._exact: dict[str, list[Label]] = {}
        self._suffixes: dict[str, list[Label]] = {}
        self._patterns: list[tuple[Matcher, Label]] = []
        self._members: dict[Label, list[Backend]] = {}
        self._parts: dict[frozenset[Label], Part] = {}
        self._answers: dict[tuple[str, tuple[str, ...]], Acquire | None] = {}

    def pick(self, name: str, protocols: tuple[str, ...] = ()) -> Acquire | None:
        """What acquires a backend for a client that asks for this name ("" = for none) and offers these protocols.

        None when the client is to be rejected.
        """
        if self.pool.state() != self._state:
            self._look_again()
        wish = name, protocols
        try:
            return self._answers[wish]
        except KeyError:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            answer = self._answers[wish] = self._answer(name, protocols)
            return answer

    def labelled(self, labels: Sequence[Label]) -> list[Backend]:
        """The pickable backends with one of some labels, sorted by address."""
        if self.pool.state() != self._state:
            self._look_again()
        found = [backend for label in labels for backend in self._members.get(label, ())]
        return found if len(labels) == 1 else sorted(found, key=lambda backend: backend.address)

    def _answer(self, name: str, protocols: tuple[str, ...]) -> Acquire | None:
        labels = _offered(self._named(name), protocols) if name else []
        if not labels:
            if self._unexpected == "reject":
                return None
            if self._unexpected == "any":
                return self.pool.acquire
            labels = _offered(self._nameless, protocols)
        key = frozenset(labels)
        part = self._parts.get(key)
        if part is None:
            if len(self._parts) >= PARTS:
                self._drop_parts()
            part = self._parts[key] = Part(self, tuple(key))
            self.pool.parts.add(part.tiers)
        return part.acquire

    def _named(self, name: str) -> list[Label]:
        """The labels whose sni fits a name."""
        if self._compile:
            return [label for matches, label in self._patterns if matches(name)]
        name = name.lower()
        found = self._exact.get(name)
        while not found and name:
            name = name.partition(".")[2]
            found = self._suffixes.get(name) if name else None
        return found or []

    def _look_again(self) -> None:
        """The pool has changed: so have its labels, perhaps."""
        self._state = self.pool.state()
        self._members = {}
        for backend in self.pool.pickable:
            self._members.setdefault(backend.label, []).append(backend)
        labels = frozenset(backend.label for backend in self.pool.backends if backend.discovered)
        if labels != self._labels:
            self._labels = labels
            self._drop_parts()
            self._index()

    def _drop_parts(self) -> None:
        self._parts.clear()
        self._answers.clear()

    def _index(self) -> None:
        self._nameless = [label for label in self._labels if not label[0]]
        self._exact, self._suffixes, self._patterns = {}, {}, []
        for label in sorted(self._labels):
            sni, _ = label
            if not sni:
                continue
            if self._compile:
                try:
                    self._patterns.append((self._compile(sni), label))
                except ValueError:
                    continue
            else:
                for name in sni.lower().split(","):
                    index, key = (self._suffixes, name[2:]) if name.startswith("*.") else (self._exact, name)
                    index.setdefault(key, []).append(label)


def _offered(labels: list[Label], protocols: tuple[str, ...]) -> list[Label]:
    """Of some labels those for the first protocol that one of them has; else those that are for any."""
    for protocol in protocols:
        found = [label for label in labels if label[1] and protocol in label[1].split(",")]
        if found:
            return found
    return [label for label in labels if not label[1]]
