"""A config that is read again, and what was changed by hand since it was read last, put together."""

from collections.abc import Iterable
from typing import NamedTuple

from gobetween_py.config.edit import raise_clashes
from gobetween_py.config.models import Config
from gobetween_py.config.override import Override
from gobetween_py.config.server import Server


class Merged(NamedTuple):
    """What is to run.

    Attributes:
        kept: servers in which something that was changed by hand stays.
        dropped: servers in which something that was changed by hand does not.
    """

    config: Config
    kept: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()


def merged(before: Config, running: Config, now: Config, *, discard: bool = False) -> Merged:
    """The config as it is read now, with what was changed by hand wherever the text still says what it said then.

    What is compared is a server's table, and apart from it each of its [[backends]]. Where the text says something new,
    it counts.

    Args:
        before: as it was read last.
        running: with what was changed by hand since then.
        now: as it is read now.
        discard: whether all that was changed by hand is dropped.

    Raises:
        ClashError: a server that was made by hand has an address that the text gives to another one.
    """
    servers: dict[str, Server] = {}
    kept, dropped = [], []
    # Those that were made by hand come last.
    for name in {**now.servers, **running.servers}:
        old, mine, new = (config.servers.get(name) for config in (before, running, now))
        server, lost = (new, mine not in (old, new)) if discard else _merged(old, mine, new)
        if server is not None:
            servers[name] = server
        if server != new:
            kept.append(name)
        if lost:
            dropped.append(name)
    config = now.model_copy(update={"servers": servers}) if kept else now
    if kept:
        raise_clashes(config)
    return Merged(config, tuple(kept), tuple(dropped))


def _merged(old: Server | None, mine: Server | None, new: Server | None) -> tuple[Server | None, bool]:
    """A server, and whether something that was changed by hand is dropped."""
    if mine in (old, new):
        return new, False
    if new == old:
        return mine, False
    if mine is None or new is None:
        return new, True
    backends, lost = _overrides(old.backends if old else (), mine.backends, new.backends)
    table, by_hand, table_before = (server and _without_backends(server) for server in (new, mine, old))
    if table == table_before:
        table = by_hand
    elif by_hand not in (table_before, table):
        lost = True
    assert table is not None
    return table.model_copy(update={"backends": backends}), lost


def _overrides(
    old: Iterable[Override], mine: Iterable[Override], new: Iterable[Override]
) -> tuple[tuple[Override, ...], bool]:
    """What is set about backends, and whether something that was set by hand is dropped."""
    before, by_hand, now = ({override.key: override for override in each} for each in (old, mine, new))
    lost = False
    for key in {**before, **by_hand}:
        wanted = by_hand.get(key)
        if wanted in (before.get(key), now.get(key)):
            continue
        if now.get(key) != before.get(key):
            lost = True
        elif wanted is None:
            del now[key]
        else:
            now[key] = wanted
    return tuple(now.values()), lost


def _without_backends(server: Server) -> Server:
    return server.model_copy(update={"backends": ()})
