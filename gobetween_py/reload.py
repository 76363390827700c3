"""From one config to the next: what differs, and how the last attempts went."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from pydantic import BaseModel

from gobetween_py.config import Config, Problem
from gobetween_py.config.errors import path_text

KEPT = 10
"""Outcomes that are kept to be shown."""


class NameTakenError(Exception):
    """There is a server of that name already."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{path_text(('servers', name))}: there is a server of that name already")
        self.name = name


class UnknownServerError(Exception):
    """There is no server of that name."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{path_text(('servers', name))}: there is no such server")
        self.name = name


@dataclass(frozen=True, slots=True)
class Difference:
    """What a config has that another one has not: names of servers, and the keys of the sections beside them."""

    added: tuple[str, ...] = ()
    changed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """With the keys that differ: {"web": ("bind", "balance")}."""
    removed: tuple[str, ...] = ()
    sections: tuple[str, ...] = ()
    """Those beside servers that differ: logging, api, ..."""

    def __bool__(self) -> bool:
        return bool(self.added or self.changed or self.removed or self.sections)

    def __str__(self) -> str:
        """`added a, b; changed c (bind, balance); removed d; other sections: logging`, or `nothing changed`."""
        parts = [
            ("added", self.added),
            ("changed", [f"{name} ({', '.join(keys)})" for name, keys in self.changed.items()]),
            ("removed", self.removed),
            ("other sections:", self.sections),
        ]
        return "; ".join(f"{what} {_some(names)}" for what, names in parts if names) or "nothing changed"


def difference(old: Config, new: Config) -> Difference:
    """What is to be done to get from the old config to the new one."""
    before, after = old.servers, new.servers
    return Difference(
        added=tuple(name for name in after if name not in before),
        changed={
            name: _differing(before[name], after[name])
            for name in after
            if name in before and after[name] != before[name]
        },
        removed=tuple(name for name in before if name not in after),
        sections=tuple(key for key in _differing(old, new) if key != "servers"),
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one attempt to reload went."""

    cause: str
    """Who asked: SIGHUP, API, or watch."""
    problems: tuple[Problem, ...] = ()
    """Why nothing changed, without secrets; none = it succeeded."""
    difference: Difference = Difference()
    """What was changed."""
    kept: tuple[str, ...] = ()
    """Servers in which something that was changed by hand stays."""
    dropped: tuple[str, ...] = ()
    """Servers in which something that was changed by hand does not."""
    at: float = field(default_factory=time.time)
    """UNIX time at which it ended."""

    @property
    def succeeded(self) -> bool:
        """Whether the config that was read is the one that runs now."""
        return not self.problems


@dataclass(slots=True)
class Status:
    """What the API and the metrics tell of reloads. Counters only grow."""

    succeeded: int = 0
    failed: int = 0
    outcomes: tuple[Outcome, ...] = ()
    """The latest ones, at most KEPT, the last one last."""

    @property
    def last(self) -> Outcome | None:
        """The latest attempt; None when there was none."""
        return self.outcomes[-1] if self.outcomes else None

    def note(self, outcome: Outcome) -> None:
        """One more attempt has ended."""
        if outcome.succeeded:
            self.succeeded += 1
        else:
            self.failed += 1
        self.outcomes = (*self.outcomes, outcome)[-KEPT:]


def _differing(old: BaseModel, new: BaseModel) -> tuple[str, ...]:
    return tuple(key for key in type(new).model_fields if getattr(old, key) != getattr(new, key))


def _some(names: Iterable[str], most: int = 5) -> str:
    listed = list(names)
    more = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
