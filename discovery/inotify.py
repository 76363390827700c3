"""Seeing by inotify(7) that a file is another one, or was written."""

import stat
from collections.abc import AsyncGenerator
from pathlib import Path

from asyncinotify import Event, Inotify, Mask

from discovery.contract import DiscoveryError

MAX_LINKS = 40
"""Symbolic links followed on the way to a file, as the kernel does (path_resolution(7))."""

_CHANGES = Mask.CLOSE_WRITE | Mask.MOVED_TO | Mask.MOVED_FROM | Mask.CREATE | Mask.DELETE | Mask.ATTRIB
_GONE = Mask.DELETE_SELF | Mask.MOVE_SELF | Mask.UNMOUNT | Mask.IGNORED


async def changes_of(path: Path) -> AsyncGenerator[None]:
    """Yields at once, and whenever the file may have changed: by writing, by replacement, by a link on the way to it.

    A file that is written in place is told of when the writer closes it. Raises DiscoveryError when a folder on the
    way to it is gone, and OSError when one cannot be watched.
    """
    while True:
        with Inotify() as inotify:
            directories = _directories(path)
            for directory in directories:
                inotify.add_watch(directory, _CHANGES | _GONE)
            known = identity(path)
            yield None
            while directories == _directories(path):
                event = await inotify.get()
                if event.mask & _GONE:
                    raise DiscoveryError(f"the folder {event.watch and event.watch.path} is gone")
                if _still_empty(event):
                    continue
                before, known = known, identity(path)
                if known != before or (event.name is not None and event.name.name == path.name):
                    yield None


def _directories(path: Path) -> list[Path]:
    """The folder of the path, and those of what it links to, link by link: where a change of any of them is seen."""
    directories = []
    for _ in range(MAX_LINKS):
        path = path.parent.resolve() / path.name
        if path.parent not in directories:
            directories.append(path.parent)
        if not path.is_symlink():
            break
        path = path.parent / path.readlink()
    return directories


def identity(path: Path) -> tuple[int, ...] | None:
    """What differs when the path leads to another or rewritten file; None without a file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_mtime_ns, status.st_size, status.st_mode


def _still_empty(event: Event) -> bool:
    """A file just created is about to be written; a link is complete at once."""
    if not event.mask & Mask.CREATE or event.path is None:
        return False
    try:
        status = event.path.lstat()
    except OSError:
        return False
    return stat.S_ISREG(status.st_mode) and status.st_nlink == 1
