"""From a config back to plain data, TOML and JSON; without secrets unless they are asked for."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from gobetween_py.config.errors import PASSWORD_IN_URL, mask_url
from gobetween_py.config.sources import Format
from gobetween_py.config.toml_text import toml_lines

MASK = "***"


def plain(section: BaseModel, *, reveal: bool = False) -> dict[str, Any]:
    """A section as a table of plain data, spelled as in a config file; keys without a value are left out.

    reveal: whether secrets stand in it as they are, and not as ***.
    """
    return {key: _plain(value, reveal) for key, value in section.model_dump(exclude_none=True).items()}


def dump(section: BaseModel, format: Format, *, reveal: bool = False) -> str:
    """A section as the text of a config file. With reveal it loads as the same section."""
    table = plain(section, reveal=reveal)
    return json.dumps(table, indent=2) + "\n" if format == "json" else "".join(toml_lines(table))


def secrets_in(section: BaseModel) -> Iterator[str]:
    """Every secret of a section, and the passwords in its URLs."""
    yield from _secrets(section.model_dump())


def _plain(value: object, reveal: bool) -> object:
    if isinstance(value, dict):
        return {key: _plain(inner, reveal) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner, reveal) for inner in value]
    if isinstance(value, SecretStr):
        return value.get_secret_value() if reveal or not value else MASK
    return value if reveal or not isinstance(value, str) else mask_url(value)


def _secrets(value: object) -> Iterator[str]:
    if isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _secrets(inner)
    elif isinstance(value, SecretStr) and value:
        yield value.get_secret_value()
    elif isinstance(value, str) and "://" in value:
        yield from PASSWORD_IN_URL.findall(value)
