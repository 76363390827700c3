"""Files and programs that a config refers to: whether they are there, before anything starts."""

import os
import shutil
from collections.abc import Callable, Iterator
from functools import partial

from pydantic import BaseModel

from discovery.fields import Refers
from gobetween_py.config.access_log import AccessLog
from gobetween_py.config.errors import ConfigErrors, Path, Problem, path_text
from gobetween_py.config.models import Config
from gobetween_py.config.server import Server
from gobetween_py.tls.contexts import TlsError, client_context, server_context


def missing_files(config: Config) -> None:
    """Raises ConfigErrors that names each file that is not there or cannot be read, and each program likewise."""
    problems = [*missing_in(config), *_log_files(config), *_cache(config)]
    missing = {problem.path for problem in problems}
    problems += (problem for problem in _unusable_tls(config) if problem.path not in missing)
    if problems:
        raise ConfigErrors(problems)


def missing_in(section: BaseModel, path: Path = ()) -> Iterator[Problem]:
    """What of that a section names, and the sections in it; the path is where it stands in the config."""
    for name, field in type(section).model_fields.items():
        value, where = getattr(section, name), (*path, name)
        if not _in_use(section, name):
            continue
        if isinstance(value, BaseModel):
            yield from missing_in(value, where)
        elif isinstance(value, dict):
            for key, inner in value.items():
                if isinstance(inner, BaseModel):
                    yield from missing_in(inner, (*where, key))
        elif Refers.FILE in field.metadata and value and (reason := _unreadable(value)):
            yield Problem(path_text(where), reason, repr(value))
        elif Refers.PROGRAM in field.metadata and value:
            program = value if isinstance(value, str) else value[0]
            if shutil.which(program) is None:
                yield Problem(path_text(where), "is no program that can be run", repr(program))
        elif isinstance(value, tuple):
            for number, inner in enumerate(value):
                if isinstance(inner, BaseModel):
                    yield from missing_in(inner, (*where, number))


def _in_use(section: BaseModel, name: str) -> bool:
    """Whether a key has a meaning where it stands: what is switched off may name files that are not there."""
    if isinstance(section, Server) and name == "tls":
        return section.protocol == "tls"
    prefix, tls, _ = name.partition("_tls_")
    switch = f"{prefix}_tls_enabled" if tls else "enabled"
    return getattr(section, switch, True) is True


def _unreadable(file: str) -> str:
    """Why a file cannot be read, or ""."""
    if not os.path.exists(file):
        return "is not there"
    if not os.path.isfile(file):
        return "is not a file"
    return "" if os.access(file, os.R_OK, effective_ids=True) else "cannot be read: permission denied"


def _unusable_tls(config: Config) -> Iterator[Problem]:
    """Certificates and keys that are none, and the like."""
    for name, server in config.servers.items():
        if server.protocol == "tls" and server.tls is not None:
            yield from _unusable(partial(server_context, server.tls), ("servers", name, "tls"))
        if server.backends_tls is not None:
            yield from _unusable(partial(client_context, server.backends_tls), ("servers", name, "backends_tls"))


def _unusable(make: Callable[[], object], path: Path) -> Iterator[Problem]:
    try:
        make()
    except TlsError as error:
        yield Problem(path_text((*path, *error.key)), error.reason, repr(error.value) if error.value else "")


def _cache(config: Config) -> Iterator[Problem]:
    """The folder of certificates, which is made where it is missing."""
    if config.acme is None or not config.acme_hosts():
        return
    folder = os.path.abspath(config.acme.cache_dir)
    there = folder
    while not os.path.lexists(there):
        there = os.path.dirname(there)
    if not os.path.isdir(there):
        yield Problem("acme.cache_dir", "is not a directory" if there == folder else f"is below {there!r}, a file")
    elif not os.access(there, os.W_OK | os.X_OK, effective_ids=True):
        yield Problem("acme.cache_dir", f"cannot be written: permission denied in {there!r}", repr(folder))


def _log_files(config: Config) -> Iterator[Problem]:
    if config.logging.output not in ("stdout", "stderr"):
        yield from _not_writable("logging.output", config.logging.output)
    logs: dict[Path, AccessLog | None] = {("access_log",): config.access_log}
    logs |= {("servers", name, "access_log"): server.access_log for name, server in config.servers.items()}
    told = set()
    for path, log in logs.items():
        if log and log.enabled and log.output.kind == "file" and log.output not in told:
            told.add(log.output)
            yield from _not_writable(path_text((*path, "output")), log.output.path)


def _not_writable(where: str, file: str) -> Iterator[Problem]:
    folder = os.path.dirname(os.path.abspath(file))
    if os.path.isdir(file):
        yield Problem(where, "is a directory, not a file", repr(file))
    elif not os.path.isdir(folder):
        yield Problem(where, f"cannot be written: there is no directory {folder!r}", repr(file))
