"""Processes as /proc shows them."""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Process:
    """A living process; a zombie is none."""

    pid: int
    parent: int
    group: int
    command: str

    def __str__(self) -> str:
        return f"{self.command} (pid {self.pid})"


def processes() -> Iterator[Process]:
    """All living processes."""
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with suppress(FileNotFoundError, ProcessLookupError):  # it ended while being read
                if process := _read(folder):
                    yield process


def descendants(pid: int) -> list[Process]:
    """Living children of a process, their children, and so on."""
    children: dict[int, list[Process]] = {}
    for process in processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    parents = [pid]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [process.pid for process in below]
    return found


def group(pid: int) -> list[Process]:
    """Living members of a process group."""
    return [process for process in processes() if process.group == pid]


def _read(folder: Path) -> Process | None:
    # "pid (name) state ppid pgrp …": the name may itself hold spaces and parentheses.
    name, _, rest = (folder / "stat").read_text(errors="replace").partition(" (")[2].rpartition(")")
    state, parent, pgrp = rest.split()[:3]
    if state in "ZX":
        return None
    command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    return Process(int(folder.name), int(parent), int(pgrp), command or name)
