"""From pydantic's errors to ours: what is wrong with a single value, in the words of a config."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, SecretStr
from pydantic_core import ErrorDetails

from gobetween_py.config.errors import Path, Problem, did_you_mean, mask_url, path_text, value_text

_KINDS_OF_VALUE = {
    "string": "text in quotes",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "tuple": "a list",
    "set": "a list",
    "dict": "a table",
    "model": "a table",
}
_BOUNDS = {
    "greater_than_equal": ">= {ge}",
    "greater_than": "> {gt}",
    "less_than_equal": "<= {le}",
    "less_than": "< {lt}",
}
_IN_QUOTES = re.compile(r"'([^']*)'")


def problems_of(
    errors: Iterable[ErrorDetails], path: Path, model: type[BaseModel], data: Mapping[str, object]
) -> list[Problem]:
    """The problems that the errors of a `model` tell of, which was made from `data` and stands at `path`."""
    places: dict[Path, list[ErrorDetails]] = {}
    for error in errors:
        places.setdefault(_place(error, data), []).append(error)
    found = []
    for place, errors_there in places.items():
        # Of a list, pydantic counts only the good items, and calls it too short as well.
        below = any(len(other) > len(place) and other[: len(place)] == place for other in places)
        told = [error for error in errors_there if not (below and error["type"] == "too_short")]
        where = path_text(path + place)
        if len(told) > 1 and all(_expected(error) for error in told):  # a value that may be of one type or another
            types = " or ".join(dict.fromkeys(_expected(error) for error in told))
            found.append(_wrong_type(where, types, None if is_secret(model, place) else told[0]["input"]))
        else:
            found += [_problem_of(error, where, place, model) for error in told]
    return found


def _place(error: ErrorDetails, data: Any) -> Path:
    """Where in the data an error is; pydantic also names the alternative of a union that it tried."""
    place: Path = ()
    for part in error["loc"]:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return (*place, part) if error["type"] in ("missing", "extra_forbidden") else place
        place = (*place, part)
    return place


def _problem_of(error: ErrorDetails, where: str, place: Path, model: type[BaseModel]) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    secret = is_secret(model, place)
    value = None if secret else error["input"]
    if kind == "missing":
        return Problem(where, "is required")
    if kind == "extra_forbidden":
        return Problem(where, "unknown key", hint=did_you_mean(place[-1], model.model_fields))
    if kind in ("literal_error", "enum"):
        return not_allowed(where, value, _IN_QUOTES.findall(context.get("expected", "")))
    if kind == "value_error":
        words = " ".join(str(context.get("error", "")).split())
        if secret and any(text in words for text in _texts_in(error["input"])):
            words = "is not valid"
        return _in_its_own_words(where, value, mask_url(words))
    if kind in _BOUNDS:
        return Problem(where, "is out of range", value_text(value), _BOUNDS[kind].format_map(context))
    if kind in ("string_too_short", "too_short"):
        return Problem(where, "must not be empty")
    if expected := _expected(error):
        return _wrong_type(where, expected, value)
    return Problem(where, f"is not valid ({kind.replace('_', ' ')})", value_text(value))


def not_allowed(where: str, value: object, allowed: list[str]) -> Problem:
    """A value that is none of a few."""
    shown = value_text(value) or "this kind of value"
    return Problem(where, "is not allowed", shown, ", ".join(filter(None, allowed)), did_you_mean(value, allowed))


def unknown_key(path: Path, key: str, known: list[str]) -> Problem:
    """A key that the section does not have. Its value is not shown: a misspelt password is one still."""
    hint = did_you_mean(key, known)
    return Problem(path_text(path), "unknown key", allowed="" if hint else ", ".join(known), hint=hint)


def not_a_table(path: Path) -> Problem:
    """Something else where a section should be."""
    return Problem(path_text(path), f"must be a table, as in [{path_text(path)}]" if path else "must be a table")


def is_secret(model: type[BaseModel], location: Path) -> bool:
    """Whether a field holds text that must not be shown."""
    field = model.model_fields.get(str(location[0])) if location else None
    return field is not None and _mentions_secret(field.annotation)


def _mentions_secret(annotation: Any) -> bool:
    return annotation is SecretStr or any(_mentions_secret(part) for part in get_args(annotation))


def _texts_in(value: object) -> Iterator[str]:
    """Every piece of a value that would give it away."""
    if isinstance(value, Mapping | list | tuple):
        for inner in value.values() if isinstance(value, Mapping) else value:
            yield from _texts_in(inner)
    else:
        yield str(value)


def _in_its_own_words(where: str, value: object, words: str) -> Problem:
    """A validator's own text; most of them name the value already."""
    shown = value_text(value)
    named = not shown or "'" in words or words.startswith("must be") or shown in words
    return Problem(where, words, "" if named else shown)


def _expected(error: ErrorDetails) -> str:
    """The kind of value that was due, for errors of type."""
    return _KINDS_OF_VALUE.get(error["type"].partition("_")[0], "")


def _wrong_type(where: str, expected: str, value: object) -> Problem:
    shown = value_text(value)
    return Problem(where, f"must be {expected}" + (f", not {shown}" if shown else ""))
