"""What is wrong with a config: all of it at once, each in one line that says where, what, and how to write it right."""

import difflib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

Path = tuple[str | int, ...]
"""Where in the config: the keys, and the positions in lists."""

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
PASSWORD_IN_URL = re.compile(r"(?<=://)[^\s:/@]*:([^\s/]+)@")
_LONGEST_VALUE = 100


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong.

    path: where, as `servers.web.bind` or `lb.toml:3:7`; reason: what, after the path a sentence; value: what stood
    there, shortened and without secrets, "" = nothing to show; allowed: what may stand there; hint: what was meant.
    """

    path: str
    reason: str
    value: str = ""
    allowed: str = ""
    hint: str = ""

    def __str__(self) -> str:
        what = f"{self.value} {self.reason}" if self.value else self.reason
        where = f"{self.path}: " if self.path else ""
        return where + "; ".join(
            [what, *([f"allowed: {self.allowed}"] if self.allowed else []), *([self.hint] if self.hint else [])]
        )


class ConfigErrors(Exception):  # noqa: N818  # several errors are what it stands for
    """A config that cannot be used, with every problem that it has."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


def path_text(path: Path) -> str:
    """`("servers", "my web", "rules", 1)` -> `servers."my web".rules[1]`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            text += ("." if text else "") + (part if _BARE_KEY.fullmatch(part) else _quoted(part))
    return text


def value_text(value: object) -> str:
    """A value as an error shows it: short, on one line, with passwords in URLs masked; tables and lists not at all."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        masked = mask_url(value)
        return repr(masked if len(masked) <= _LONGEST_VALUE else masked[:_LONGEST_VALUE] + "...")
    if isinstance(value, int) and abs(value) >= 10**_LONGEST_VALUE:
        return "a number too large to show"
    return repr(value) if isinstance(value, int | float) else ""


def mask_url(text: str) -> str:
    """A text with the password of each `scheme://user:password@host` replaced by ***."""
    if "://" not in text:  # most texts are no URL, and there may be many
        return text
    return PASSWORD_IN_URL.sub(lambda match: f"{match[0].partition(':')[0]}:***@", text)


def did_you_mean(word: object, known: Iterable[str]) -> str:
    """`did you mean 'bind'?`, or "" where nothing known is near."""
    if not isinstance(word, str) or len(word) > _LONGEST_VALUE:
        return ""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1)
    return f"did you mean {lower[close[0]]!r}?" if close else ""


def _quoted(key: str) -> str:
    shown = key if len(key) <= _LONGEST_VALUE else key[:_LONGEST_VALUE] + "..."
    return '"' + repr(shown)[1:-1].replace('"', '\\"') + '"'
