"""From a file or a text to plain data: reading, variables of the environment, TOML and JSON."""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import tomlkit
from tomlkit.exceptions import ParseError, TOMLKitError

from gobetween_py.config.errors import ConfigErrors, Problem

Format = Literal["toml", "json"]
LARGEST = 8 * 1024 * 1024
"""Bytes of a config file."""

_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_.-]*)\}")


def read(file: str | Path) -> str:
    """The text of a file. Raises ConfigErrors in one line that says why it cannot be had."""
    name = str(file)
    try:
        with open(file, "rb") as stream:
            data = stream.read(LARGEST + 1)
    except FileNotFoundError:
        raise _refused(name, "there is no such file") from None
    except IsADirectoryError:
        raise _refused(name, "is a directory, not a file") from None
    except PermissionError:
        raise _refused(name, "cannot be read: permission denied") from None
    except (OSError, ValueError) as error:
        raise _refused(name, f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if len(data) > LARGEST:
        raise _refused(name, f"is too large: at most {LARGEST // 2**20} MiB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _refused(f"{name}:{line}", "is not text in UTF-8: save the file in that encoding") from None


def guess_format(name: str) -> Format:
    """By the end of a file's name: json for .json, else toml."""
    return "json" if name.lower().endswith(".json") else "toml"


def substitute(text: str, variables: Mapping[str, str] = os.environ, *, name: str = "config") -> str:
    """The text with each `${NAME}` replaced. Raises ConfigErrors that names every variable that is not set."""
    unset = [
        Problem(f"{name}:{number}", f"the variable {variable} is not set in the environment")
        for number, line in enumerate(text.splitlines(), 1)
        for variable in dict.fromkeys(_VARIABLE.findall(line))
        if variable not in variables
    ]
    if unset:
        raise ConfigErrors(unset)
    return _VARIABLE.sub(lambda match: variables[match[1]], text)


def parse(text: str, format: Format, *, name: str = "config") -> object:
    """Plain data from TOML or JSON. Raises ConfigErrors with file, line and column, and nothing of the content."""
    return _parse_json(text, name) if format == "json" else _parse_toml(text, name)


def _parse_toml(text: str, name: str) -> object:
    try:
        return tomlkit.parse(text).unwrap()
    except ParseError as error:
        reason = re.sub(r" at line \d+ col \d+$", "", str(error))
        raise _refused(f"{name}:{error.line}:{error.col}", f"is no valid TOML: {reason}") from None
    except (TOMLKitError, ValueError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
        raise _refused(name, f"is no valid TOML: {_first_line(error)}") from None


def _parse_json(text: str, name: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_table)
    except json.JSONDecodeError as error:
        raise _refused(f"{name}:{error.lineno}:{error.colno}", f"is no valid JSON: {error.msg}") from None
    except RecursionError:
        raise _refused(name, "is no valid config: nested too deeply") from None
    except ValueError as error:
        raise _refused(name, f"is no valid JSON: {_first_line(error)}") from None


def _table(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object; null is the same as no key, as in Go. Raises ValueError for a key that is there twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {next(key for key in keys if keys.count(key) > 1)!r} is there twice")
    return {key: value for key, value in table.items() if value is not None}


def _first_line(error: Exception) -> str:
    return "nested too deeply" if isinstance(error, RecursionError) else str(error).partition("\n")[0]


def _refused(where: str, reason: str) -> ConfigErrors:
    return ConfigErrors([Problem(where, reason)])
