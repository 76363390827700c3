"""From a file or a text to plain data: reading, variables of the environment, TOML and JSON."""

import json
import os
import re
import tomllib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import tomlkit

from gobetween_py.config.errors import ConfigErrors, Problem

Format = Literal["toml", "json"]
LARGEST = 8 * 1024 * 1024
"""Bytes of a config file."""

TOML_REMEDIES = {
    "Invalid value (at end of document)": "the file ends too early: before a value, a ] or a }",
    "Invalid value": 'text stands in quotes, as in balance = "weight"',
    "Cannot overwrite a value": "this key is there twice: remove one",
    "Duplicate inline table key": "a key of this table is there twice: remove one",
    " twice": "this section is there twice: put the two together",
    "Cannot mutate immutable namespace": "a table in { } is complete: its keys all stand between the braces",
    "Unclosed array": "between two entries of a list comes a comma, and after the last one ]",
    "Unclosed inline table": "between two keys of a table in { } comes a comma, and after the last one }",
    "Unterminated string": "a text that begins with a quote needs the same quote at its end",
    'Expected "\'"': "a text that begins with a quote needs the same quote at its end",
    "invalid character": "a text that begins with a quote needs the same quote at its end, on the same line",
    "Illegal character": "a text that begins with a quote needs the same quote at its end, on the same line",
    "Unescaped": "a backslash in \"...\" is written twice, or the text stands in '...'",
    "Expected '=' after a key": 'after a key comes =, as in balance = "weight"',
    "Expected ']'": "the name of a section stands in [ ], as in [servers.web]",
    "Expected newline": "one key a line: something follows the value",
    "Invalid initial character for a key": "a key is due here: letters, digits, _ and -, or anything in quotes",
    "Invalid statement": "a key, a section or a comment is due here",
}
JSON_REMEDIES = {
    "trailing comma": "after the last entry comes no comma",
    "property name": "a key in double quotes is due here; after the last entry comes no comma",
    "Expecting value": "a value is due here: text stands in double quotes; after the last entry comes no comma",
    "',' delimiter": "a comma is due here, or the end of the list or object",
    "':' delimiter": "after a key comes a colon",
    "Unterminated string": "a text that begins with a double quote needs another at its end",
    "control character": "a text ends on the line where it begins: a line break in it is written \\n",
    "escape": "a backslash is written twice",
    "Extra data": "the file goes on after its object has ended",
}

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


def parse(text: str, format: Format, *, name: str = "config") -> dict[str, object]:
    """Plain data from TOML or JSON. Raises ConfigErrors with file, line, column and remedy, and none of the content."""
    data = _parse_json(text, name) if format == "json" else _parse_toml(text, name)
    if not isinstance(data, dict):
        raise _refused(name, 'must be an object of sections: {"servers": {...}}')
    return data


def _parse_toml(text: str, name: str) -> object:
    try:
        return tomlkit.parse(text).unwrap()
    except Exception:  # beside its own errors tomlkit lets out some of Python's
        raise _refused(*_where_toml_fails(text, name)) from None


def _where_toml_fails(text: str, name: str) -> tuple[str, str]:
    """Line, column and remedy. The standard library's parser knows the place of more errors than tomlkit does."""
    try:
        tomllib.loads(text)
    except RecursionError:
        return name, "is nested too deeply"
    except ValueError as error:
        place = re.search(r"\(at line (\d+), column (\d+)\)", str(error))
        end = (str(text.count("\n") + 1), str(len(text) - text.rfind("\n")))
        line, column = place.groups() if place else end
        return f"{name}:{line}:{column}", f"is no valid TOML: {_remedy(str(error), TOML_REMEDIES)}"
    return name, "is no valid TOML"


def _parse_json(text: str, name: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=json_table_without_nulls)
    except json.JSONDecodeError as error:
        where, remedy = f"{name}:{error.lineno}:{error.colno}", _remedy(error.msg, JSON_REMEDIES)
        raise _refused(where, f"is no valid JSON: {remedy}") from None
    except RecursionError:
        raise _refused(name, "is nested too deeply") from None
    except ValueError as error:
        raise _refused(name, f"is no valid JSON: {error}") from None


def _remedy(message: str, remedies: Mapping[str, str]) -> str:
    """What to do about a parser's message, which may hold a piece of the file and differs between Python's versions."""
    return next(
        (remedy for part, remedy in remedies.items() if part in message), "something here is not as it should be"
    )


def json_table(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object. Raises ValueError for a key that is there twice."""
    table = dict(pairs)
    if len(table) < len(pairs):
        [(twice, _)] = Counter(key for key, _ in pairs).most_common(1)
        raise ValueError(f"the key {twice!r} is there twice")
    return table


def json_table_without_nulls(pairs: list[tuple[str, object]]) -> dict[str, object]:
    """A JSON object, where null is the same as no key, as in Go. Raises ValueError for a key that is there twice."""
    return {key: value for key, value in json_table(pairs).items() if value is not None}


def _refused(where: str, reason: str) -> ConfigErrors:
    return ConfigErrors([Problem(where, reason)])
