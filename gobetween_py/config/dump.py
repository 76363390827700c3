"""From a config back to plain data, TOML and JSON; without secrets unless they are asked for."""

import json
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, SecretStr

from gobetween_py.config.errors import PASSWORD_IN_URL, Path, mask_url
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


def unmasked(data: object, section: BaseModel) -> object:
    """Plain data that somebody made from `plain(section)`, with the section's secrets where *** is left of them."""
    return _unmasked(data, plain(section), plain(section, reveal=True))


def masks_in(section: BaseModel) -> Iterator[Path]:
    """Where in a section a secret, or the password in a URL, is ***."""
    yield from _masks(section.model_dump(), ())


def _unmasked(data: object, shown: object, real: object) -> object:
    if data == shown:
        return real
    if isinstance(data, dict) and isinstance(shown, dict) and isinstance(real, dict):
        return {key: _unmasked(value, shown.get(key), real.get(key, value)) for key, value in data.items()}
    if isinstance(data, list) and isinstance(shown, list) and isinstance(real, list):
        masked = {text: real[place] for place, text in enumerate(shown) if isinstance(text, str) and MASK in text}
        return [masked.get(item, item) if isinstance(item, str) else item for item in data]
    return data


def _masks(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, dict | list | tuple):
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _masks(inner, (*path, key))
    elif MASK in _secrets(value):
        yield path


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
