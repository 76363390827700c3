"""Durations as Go writes them: `"300ms"`, `"1m30s"`, `"2h"`, `"0"`. Seconds inside, Go text outside.

The grammar is that of Go's time.ParseDuration (https://pkg.go.dev/time#ParseDuration), without negative values.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

# U+00B5 and U+03BC: the micro sign and the Greek letter, both of which Go takes.
UNITS = {"ns": 1e-9, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
LONGEST = (2**63 - 1) / 1e9  # seconds: Go counts int64 nanoseconds

_PART = re.compile(r"([0-9]+\.?[0-9]*|\.[0-9]+)([a-z\u00b5\u03bc]+)")
_GRAMMAR = r"^\+?(0|(([0-9]+\.?[0-9]*|\.[0-9]+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h))+)$"
_EXAMPLE = 'write it as text with a unit, for example "500ms", "5s" or "1m30s"'


def parse_duration(text: str) -> float:
    """Seconds of a Go duration, 0.0 to about 9.2e9 (292 years).

    Raises ValueError, saying what is wrong, for text outside of the grammar and for negative durations.
    """
    if text.startswith("-") and text != "-0":
        raise ValueError(f"duration {text!r} is negative: durations start at 0")
    rest = text.lstrip("+-") if len(text) - len(text.lstrip("+-")) <= 1 else ""
    if rest == "0":
        return 0.0
    seconds, position = 0.0, 0
    while match := _PART.match(rest, position):
        number, unit = match.groups()
        if unit not in UNITS:
            raise ValueError(f"duration {text!r} has the unknown unit {unit!r}: known are {', '.join(UNITS)}")
        seconds += float(number) * UNITS[unit]
        position = match.end()
    if not rest or position < len(rest):
        missing = "no unit" if rest.replace(".", "", 1).isdecimal() else "no meaning"
        raise ValueError(f"duration {text!r} has {missing}: {_EXAMPLE}")
    if seconds > LONGEST:
        raise ValueError(f"duration {text!r} is too long: at most 292 years")
    return seconds


def format_duration(seconds: float) -> str:
    """The shortest Go text of a duration: 90.0 -> "1m30s", 0.3 -> "300ms", 7200.0 -> "2h", 0.0 -> "0"."""
    nanoseconds = round(seconds * 1e9)
    if nanoseconds == 0:
        return "0"
    if nanoseconds < 1_000_000_000:
        name, size = next((n, s) for n, s in (("ms", 10**6), ("us", 10**3), ("ns", 1)) if nanoseconds >= s)
        return f"{_decimal(nanoseconds, size)}{name}"
    hours, rest = divmod(nanoseconds, 3600 * 10**9)
    minutes, rest = divmod(rest, 60 * 10**9)
    parts = [
        f"{hours}h" if hours else "",
        f"{minutes}m" if minutes else "",
        f"{_decimal(rest, 10**9)}s" if rest else "",
    ]
    return "".join(parts)


def _decimal(value: int, size: int) -> str:
    whole, fraction = divmod(value, size)
    if not fraction:
        return str(whole)
    digits = round(math.log10(size))
    return f"{whole}.{fraction:0{digits}d}".rstrip("0")


def _validate(value: Any) -> float:
    if not isinstance(value, str):
        raise ValueError(f"duration {value!r} has no unit: {_EXAMPLE}")
    return parse_duration(value)


Duration = Annotated[
    float,
    BeforeValidator(_validate),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": _GRAMMAR, "examples": ["0", "500ms", "5s", "1m30s", "2h"]}),
]
"""A pydantic field: read from Go text, held as float seconds, dumped as Go text again."""
