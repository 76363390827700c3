"""A config with one server more, less, or another one: for changes while it runs."""

from collections.abc import Iterable

from gobetween_py.config.checks import Built, clashes, not_available
from gobetween_py.config.dump import MASK, masks_in, plain
from gobetween_py.config.errors import ConfigErrors, Problem, path_text
from gobetween_py.config.models import Config
from gobetween_py.config.override import Override
from gobetween_py.config.references import missing_in
from gobetween_py.config.server import Server
from gobetween_py.config.validate import Validation, inherit

MASKED = f"is {MASK}, which is shown in the place of a secret: write the secret itself"


class ClashError(Exception):
    """A server that is right by itself wants an address that something else in the config has."""


def with_server(config: Config, name: str, data: object) -> Config:
    """The config in which a server is as a table says, whether there was one of that name or not.

    Args:
        data: the table of `[servers.NAME]` as plain data; [defaults] fill in what it does not say.

    Raises:
        ConfigErrors: with everything that is wrong with the table.
        ClashError: its address is taken within the config.
    """
    run = Validation()
    path = ("servers", name)
    given = inherit({"defaults": plain(config.defaults), "servers": {name: data}})
    assert isinstance(given, dict)
    server = run.section(Server, given["servers"][name], path)
    problems = [*run.problems, *not_available(run.built)]
    if server is not None:
        problems += missing_in(server, path)
        problems += [Problem(path_text((*path, *where)), MASKED) for where in masks_in(server)]
    if problems or server is None:
        raise ConfigErrors(problems)
    # An existing server keeps its place in the order.
    # It comes last, so that it is the one of which a clash is told.
    raise_clashes(with_table(with_table(config, name, None), name, server))
    return with_table(config, name, server)


def with_table(config: Config, name: str, server: Server | None) -> Config:
    """The config in which a server is this one; None = it is not there."""
    servers = {other: one for other, one in {**config.servers, name: server}.items() if one is not None}
    return config.model_copy(update={"servers": servers})


def with_backends(config: Config, name: str, overrides: Iterable[Override]) -> Config:
    """The config in which this is set by hand about a server's backends. Raises KeyError."""
    return with_table(config, name, config.servers[name].model_copy(update={"backends": tuple(overrides)}))


def raise_clashes(config: Config) -> None:
    """Raises ClashError where two sections want the same address."""
    if lines := [str(problem) for problem in clashes(_sections_of(config))]:
        raise ClashError("; ".join(lines))


def _sections_of(config: Config) -> Built:
    for key in type(config).model_fields:
        if key != "servers":
            yield (key,), getattr(config, key)
    for name, server in config.servers.items():
        yield ("servers", name), server
        yield ("servers", name, "tls"), server.tls
