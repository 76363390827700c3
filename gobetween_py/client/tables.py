"""Answers of the API as tables for a terminal, or for a file: then as wide as they need, and without colours."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rich import box
from rich.console import Console, Group, JustifyMethod, RenderableType
from rich.filesize import decimal
from rich.table import Table
from rich.text import Text

UNBOUNDED = 10_000
"""Columns where there is no terminal to fit into."""

COLOURS = {"healthy": "green", "ready": "green", "drain": "yellow", "maint": "yellow", "unhealthy": "red"}


def console() -> Console:
    """Standard output. What comes from the API is text, and never markup."""
    terminal = Console(markup=False, highlight=False, emoji=False)
    if terminal.is_terminal:
        return terminal
    return Console(markup=False, highlight=False, emoji=False, width=UNBOUNDED, no_color=True)


def table(title: str, columns: str, rows: Iterable[Iterable[object]]) -> Table:
    """A table; a column whose name begins with `>` holds numbers, and stands to the right. The first is never cut."""
    made = Table(
        title=printable(title) or None, title_justify="left", box=box.SIMPLE_HEAD, show_edge=False, padding=(0, 1, 0, 0)
    )
    for number, column in enumerate(columns.split()):
        side: JustifyMethod = "right" if column.startswith(">") else "left"
        made.add_column(column.lstrip(">"), justify=side, overflow="fold", no_wrap=not number)
    for row in rows:
        made.add_row(*(cell if isinstance(cell, Text) else shown(cell) for cell in row))
    return made


def size(number: int) -> str:
    """Bytes, rounded: 0 B, 1.2 kB, 3.4 MB."""
    return decimal(number).replace("bytes", "B").replace("byte", "B")


def shown(value: object) -> str:
    """A figure with its thousands apart, yes or no, a dash for nothing."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.3f}"
    return "-" if value is None or value == "" else printable(str(value))


def printable(text: str) -> str:
    """A text of the API without what a terminal would take for a command."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)


def coloured(word: str) -> Text:
    """A state, in its colour."""
    return Text(printable(word), style=COLOURS.get(word, ""))


def up(live: bool) -> Text:
    """Whether a backend is live."""
    return Text("up", style="green") if live else Text("down", style="red")


def status(answer: Mapping[str, Any]) -> RenderableType:
    """What runs, and what is not ready."""
    source = " ".join(str(value) for value in answer["configuration"].values())
    about = f"pygobetween {answer['version']}, pid {answer['pid']}, up {answer['uptime']}, config: {source}"
    unsaved = [f"not in the config: {line}" for line in _changes(answer["unsaved"])]
    lines = [*map(printable, [about, *unsaved])]
    if answer["ready"]:
        return Group(*lines, Text("ready", style="green"))
    reasons = [f"{name}: {reason}" for name, reason in answer["servers"].items()] or ["a server is not ready"]
    return Group(*lines, *(Text(printable(reason), style="red") for reason in reasons))


def servers(answer: Iterable[Mapping[str, Any]]) -> RenderableType:
    """A line a server."""
    columns = "server bind protocol balance discovery >live >backends >open >rx >tx >rx/s >tx/s"
    rows = (
        (
            *(server[key] for key in ("server", "bind", "protocol", "balance", "discovery", "live", "backends")),
            server["active_connections"],
            *(size(server[key]) for key in ("rx_total", "tx_total", "rx_second", "tx_second")),
        )
        for server in answer
    )
    return table("", columns, rows)


def backends(answer: Mapping[str, Iterable[Mapping[str, Any]]]) -> RenderableType:
    """A table a server, a line a backend."""
    columns = "backend state health listed >weight >priority >open >total >refused >rx >tx >rx/s >tx/s"
    return Group(*(table(name, columns, map(_backend, found)) for name, found in answer.items()))


def backend(answer: Iterable[Mapping[str, Any]]) -> RenderableType:
    """Backends as they are now."""
    return Group(*(_changed(each) for each in answer))


def connections(answer: Mapping[str, Any]) -> RenderableType:
    """A line a connection."""
    columns = "id client backend state >age >idle >rx >tx >attempts"
    rows = (
        (
            *(each[key] for key in ("id", "client", "backend", "state", "age", "idle")),
            size(each["rx"]),
            size(each["tx"]),
            each["attempts"],
        )
        for each in answer["connections"]
    )
    more = [f"there are more: --after {answer['next']}"] if answer["next"] else []
    return Group(table("", columns, rows), f"{answer['total']:,} open in all", *more)


def healthchecks(answer: Mapping[str, Any]) -> RenderableType:
    """A line a backend: its verdict and its last check."""
    columns = "server backend kind state since >runs >failures result"
    rows = (
        (
            each["server"],
            each["address"],
            each["kind"],
            coloured(each["state"]),
            *(each[key] for key in ("since", "runs", "failures")),
            each["last"]["result"] if each["last"] else None,
        )
        for each in answer["healthchecks"]
    )
    return table("", columns, rows)


def discovery(answer: Mapping[str, Any]) -> RenderableType:
    """A line a server: how finding its backends goes."""
    columns = "server kind state >backends >skipped >fetches >failures last_success last_error"
    rows = (
        (
            each["server"],
            each["kind"],
            Text("failing", style="red") if each["failing"] else Text("good", style="green"),
            *(each[key] for key in ("backends", "skipped", "fetches", "failures", "last_success", "last_error")),
        )
        for each in answer["discovery"]
    )
    return table("", columns, rows)


def reloaded(answer: Mapping[str, Any]) -> RenderableType:
    """What a reload changed."""
    lines = [*_changes(answer["changes"])] or ["nothing changed"]
    lines += [f"{name}: what was changed by hand stays" for name in answer["by_hand"]["kept"]]
    lines += [f"{name}: what was changed by hand is dropped" for name in answer["by_hand"]["dropped"]]
    return Group(*map(printable, lines))


def _changes(changes: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"added {name}" for name in changes["added"])
    yield from (f"changed {name}: {', '.join(keys)}" for name, keys in changes["changed"].items())
    yield from (f"removed {name}" for name in changes["removed"])
    yield from (f"changed section {name}" for name in changes["sections"])


def _backend(each: Mapping[str, Any]) -> tuple[object, ...]:
    stats = each["stats"]
    return (
        each["address"],
        coloured(each["state"]),
        up(stats["live"]),
        "by hand" if each["manual"] else "found" if stats["discovered"] else "gone",
        each["weight"],
        each["priority"],
        *(stats[key] for key in ("active_connections", "total_connections", "refused_connections")),
        *(size(stats[key]) for key in ("rx", "tx", "rx_second", "tx_second")),
    )


def _changed(each: Mapping[str, Any]) -> str:
    until = f", closed at {each['closes_at']}" if each["closes_at"] else ""
    return printable(
        f"{each['address']}: {each['state']}, {each['stats']['active_connections']:,} open connections{until}"
    )
