"""Comments above the [sections] of a TOML text, kept with the section that they are about.

tomlkit counts them to the section before: there they would end up above keys that are added to it, and would go when
it is removed. So they are lifted out before an edit and put back above the same [section] after it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

_HEADER = re.compile(r"\s*\[\[?[^\[\]]+\]\]?\s*(#.*)?")
"""It also fits the last line of a list of lists; what stands above that is put back just the same."""

Header = tuple[str, int]
"""Its line, and how many lines like it stand before."""


class Lifted(NamedTuple):
    """A text without its empty lines and comments above headers and at the end."""

    text: str
    above: dict[Header, str]
    at_end: str


def lift(text: str) -> Lifted:
    """Take them out."""
    kept: list[str] = []
    above: dict[Header, str] = {}
    waiting: list[str] = []
    for line, header in _lines(text):
        if header:
            above[header] = "".join(waiting)
        elif not line.strip() or line.lstrip().startswith("#"):
            waiting.append(line)
            continue
        else:
            kept += waiting
        kept.append(line)
        waiting = []
    return Lifted("".join(kept), above, "".join(waiting))


def put_back(text: str, lifted: Lifted) -> str:
    """Put them back into the edited text. What stood right above a header that is gone is gone too."""
    left = {header for _, header in _lines(text)}
    above: dict[Header, str] = {}
    homeless = ""
    for place, block in lifted.above.items():
        if place in left:
            above[place], homeless = homeless + block, ""
        else:
            homeless += _detached(block)
    lines: list[str] = []
    for line, header in _lines(text):
        if header:
            while lines and not lines[-1].strip():  # tomlkit's own, above what it made anew
                lines.pop()
            lines.append(above.get(header, "\n" if lines else ""))
        lines.append(line)
    return "".join(lines) + homeless + lifted.at_end


def _lines(text: str) -> Iterator[tuple[str, Header | None]]:
    """Each line with its end, and which header it is."""
    seen: Counter[str] = Counter()
    for line in text.splitlines(keepends=True):
        bare = line.strip()
        if _HEADER.fullmatch(bare):
            yield line, (bare, seen[bare])
            seen[bare] += 1
        else:
            yield line, None


def _detached(block: str) -> str:
    """The part of it that an empty line divides from what comes below."""
    lines = block.splitlines(keepends=True)
    empty = [number for number, line in enumerate(lines) if not line.strip()]
    return "".join(lines[: empty[-1]]) if empty else ""
