"""Plain data as TOML, a line at a time. (tomlkit's writer is for edits: it takes seconds for a list of 10,000.)"""

import json
import re
from collections.abc import Iterator, Mapping
from typing import TypeGuard

_BARE = re.compile(r"[A-Za-z0-9_-]+")


def toml_lines(table: Mapping[str, object]) -> Iterator[str]:
    """The lines of a table of text, numbers, booleans, lists and tables; each ends with a line break."""
    lines = _lines(table, ())
    yield next(lines, "").lstrip("\n")
    yield from lines


def _lines(table: Mapping[str, object], path: tuple[str, ...]) -> Iterator[str]:
    """path: the keys that lead to the table."""
    tables = {key: value for key, value in table.items() if _is_section(value)}
    for key, value in table.items():
        if key not in tables:
            yield from _entry(_key(key), value)
    for key, value in tables.items():
        here = (*path, key)
        name = ".".join(map(_key, here))
        if isinstance(value, Mapping):
            if not value or not all(map(_is_section, value.values())):
                yield f"\n[{name}]\n"
            yield from _lines(value, here)
        else:
            for item in value:
                yield f"\n[[{name}]]\n"
                yield from _lines(item, here)


def _is_section(value: object) -> TypeGuard[Mapping[str, object] | list[Mapping[str, object]]]:
    """Whether it stands under a [name], or several [[name]], of its own."""
    if isinstance(value, list):
        return bool(value) and all(isinstance(item, Mapping) for item in value)
    return isinstance(value, Mapping)


def _entry(key: str, value: object) -> Iterator[str]:
    if isinstance(value, list) and len(value) > 1:
        yield f"{key} = [\n"
        for item in value:
            yield f"  {_value(item)},\n"
        yield "]\n"
    else:
        yield f"{key} = {_value(value)}\n"


def _value(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(inner)}" for key, inner in value.items()) + " }"
    # JSON's notation of text, numbers and booleans is TOML's too, but for DEL.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _key(key: str) -> str:
    return key if _BARE.fullmatch(key) else _value(key)
