"""Changes written back into a config file: what did not change stays as it was written, comments and all."""

import json
import os
import stat
import tempfile
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import tomlkit
from tomlkit.container import OutOfOrderTableProxy
from tomlkit.items import AbstractTable

from gobetween_py.config.errors import ConfigErrors, path_text
from gobetween_py.config.sources import Format, parse, read, substitute
from gobetween_py.config.toml_comments import lift, put_back


class PersistError(Exception):
    """A change cannot be written into the file, which is as it was; the message says why."""


def edited(
    text: str, format: Format, keys: tuple[str, ...], value: object, *, environment: bool = False, name: str = "config"
) -> str:
    """The text of a config with another value somewhere.

    Of a table that was there only what differs is written anew. JSON has no comments; it is laid out anew as a whole.

    Args:
        keys: where, for instance ("servers", "web"); tables on the way there are made.
        value: plain data; None = nothing there any more.
        environment: whether ${NAME} stands for a variable of the environment. Where its value has not changed it
            is left in the text.
        name: what messages call the text.

    Raises:
        PersistError: the text, or what would become of it, is no config.
    """
    try:
        meant = parse(substitute(text, name=name) if environment else text, format, name=name)
        lifted = lift(text)
        document: Any = tomlkit.parse(lifted.text) if format == "toml" else json.loads(text)
    except ConfigErrors as errors:
        raise PersistError(str(errors)) from None
    except ValueError:  # before its variables are replaced, it is none
        raise PersistError(f"{name}: can only be changed by hand: a ${{NAME}} in it stands outside of quotes") from None
    wanted = _with(meant, keys, value)
    _merge(document, meant, wanted)
    if format == "toml":
        after = put_back(tomlkit.dumps(document), lifted)
    else:
        after = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
    try:
        says = parse(substitute(after, name=name) if environment else after, format, name=name)
    except ConfigErrors:
        says = {}
    if says != wanted:
        raise PersistError(f"{name}: {path_text(keys)} can only be changed by hand: its keys are spread over the file")
    return after


def write(file: Path, text: str) -> None:
    """Put a text in the place of a file, in one step: a reader sees the old or the new one. Mode and owner stay.

    A symbolic link stays, what it leads to is replaced. Raises PersistError.
    """
    target = Path(os.path.realpath(file))
    part = ""
    try:
        before = target.stat()
        handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with open(handle, "w", encoding="utf-8", newline="") as stream:
            stream.write(text)
            stream.flush()
            with suppress(PermissionError):  # only root may give files away
                os.fchown(stream.fileno(), before.st_uid, before.st_gid)
            os.fchmod(stream.fileno(), stat.S_IMODE(before.st_mode))
            os.fsync(stream.fileno())
        os.replace(part, target)
    except OSError as error:
        if part:
            with suppress(OSError):
                os.unlink(part)
        raise PersistError(f"{file}: cannot be written: {error.strerror}") from error
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def rewrite(
    file: Path, format: Format, keys: tuple[str, ...], value: object, *, environment: bool = False
) -> tuple[str, str]:
    """`edited` and `write` for the text that a file holds now; returns that and the new text. Raises PersistError."""
    try:
        before = read(file)
    except ConfigErrors as errors:
        raise PersistError(str(errors)) from None
    after = edited(before, format, keys, value, environment=environment, name=str(file))
    if after != before:
        write(file, after)
    return before, after


def _with(data: Mapping[str, object], keys: tuple[str, ...], value: object) -> dict[str, object]:
    """A copy of a table with another value at the keys. None takes the key away, and tables that are empty then."""
    key, *rest = keys
    if rest:
        inner = data.get(key)
        value = _with(inner if isinstance(inner, Mapping) else {}, tuple(rest), value) or None
    changed = {**data, key: value}
    return {key: value for key, value in changed.items() if value is not None}


def _merge(table: MutableMapping[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
    """Make a table of the document say `after`, where it says `before`."""
    for key in [key for key in table if key not in after]:
        del table[key]
    for key, value in after.items():
        old = before.get(key)
        if key in table and old == value and type(old) is type(value):
            continue
        inside = table.get(key)
        if value and isinstance(value, Mapping) and isinstance(inside, dict | AbstractTable | OutOfOrderTableProxy):
            _merge(inside, old if isinstance(old, Mapping) else {}, value)
        else:
            table[key] = value
