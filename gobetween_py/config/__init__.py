"""The config: text -> plain data (sources.py) -> immutable models (validate.py), or every error at once (errors.py).

models.py, server.py, tls.py and access.py say which keys there are; the keys of a discovery or a health check belong
to its kind, in the packages discovery and healthcheck. checks.py holds the tables of what clashes, has no effect, or is
a risk.
"""

import logging
from collections.abc import Callable
from pathlib import Path

from gobetween_py.config.access import Access, AccessRule
from gobetween_py.config.bind import Bind
from gobetween_py.config.errors import ConfigErrors, Problem
from gobetween_py.config.models import Config
from gobetween_py.config.server import Server
from gobetween_py.config.sources import Format, guess_format, parse, read, substitute
from gobetween_py.config.validate import build

__all__ = [
    "Access",
    "AccessRule",
    "Bind",
    "Config",
    "ConfigErrors",
    "Format",
    "Problem",
    "Server",
    "load",
    "load_file",
]

Warn = Callable[[Problem], None]


def log_warning(problem: Problem) -> None:
    """Tells of a problem that stands in nobody's way."""
    logging.getLogger(__name__).warning("%s", problem)


def load(
    text: str,
    format: Format = "toml",
    *,
    name: str = "config",
    environment: bool = False,
    lenient: bool = False,
    warn: Warn = log_warning,
) -> Config:
    """The config that a text holds.

    name: what errors of syntax call the text; environment: whether `${NAME}` is replaced; lenient: whether unknown
    keys are warnings. Raises ConfigErrors with everything that is wrong.
    """
    if environment:
        text = substitute(text, name=name)
    config, warnings = build(parse(text, format, name=name), lenient=lenient)
    for warning in warnings:
        warn(warning)
    return config


def load_file(
    file: str | Path,
    format: Format | None = None,
    *,
    environment: bool = False,
    lenient: bool = False,
    warn: Warn = log_warning,
) -> Config:
    """The config that a file holds; its format is guessed from its name where none is given. Raises ConfigErrors."""
    name = str(file)
    return load(
        read(file), format or guess_format(name), name=name, environment=environment, lenient=lenient, warn=warn
    )
