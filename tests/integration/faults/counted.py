"""The balancer, with one addition: SIGUSR2 writes what it holds into the file $HOLDINGS, as JSON."""

import asyncio
import gc
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from balancer import COLUMNS, Counters, Pool
from discovery.loop import Loop
from gobetween_py.cli import main
from gobetween_py.proxy.acceptor import Acceptor
from gobetween_py.proxy.connection import Connection
from gobetween_py.proxy.listener import Listener
from gobetween_py.proxy.pipes import PipePool
from gobetween_py.proxy.relay import Half
from gobetween_py.server import Server

CONTROL_PLANE = (Acceptor, Listener, Loop, Pool, Server, asyncio.Task)


def holdings() -> dict[str, int]:
    found: Counter[str] = Counter()
    lent = rows = 0
    gc.unfreeze()  # what is frozen is not told of
    gc.collect()
    for thing in gc.get_objects():
        if isinstance(thing, (Connection, Half, *CONTROL_PLANE)):
            found[type(thing).__name__] += 1
        elif isinstance(thing, Counters):
            rows += len(thing.values) // COLUMNS - len(thing._free)
        elif type(thing).__module__ == "_socket":
            found["socket"] += 1
        elif isinstance(thing, PipePool):
            lent += thing.open - len(thing._idle)
    links = [os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if _exists(fd)]
    return {
        "connections": found["Connection"],
        "halves": found["Half"],
        "sockets": sum(link.startswith("socket:") for link in links),
        "other fds": sum(not link.startswith(("socket:", "pipe:", "/proc")) for link in links),
        "pipes lent": lent,
        "rows of counters": rows,
        **{kind.__name__: found[kind.__name__] for kind in CONTROL_PLANE},
    }


def _exists(fd: str) -> bool:
    return os.path.lexists(f"/proc/self/fd/{fd}")


def write(*_: object) -> None:
    target = Path(os.environ["HOLDINGS"])
    part = target.with_suffix(".part")
    part.write_text(json.dumps(holdings()))
    part.rename(target)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR2, write)
    sys.exit(main())
