"""Regular expressions of a config: RE2, the engine whose syntax Go has.

Python's own reads some of them otherwise (`[[:alpha:]]`, `\\z`, `(?i)` in the middle), and some take it hours on a line
that another wrote; RE2 takes time linear in the text.
"""

import re2  # type: ignore[import-untyped]  # a C++ extension without stubs


class Pattern:
    """A compiled expression. Raises ValueError with RE2's reason when it is none."""

    def __init__(self, text: str) -> None:
        options = re2.Options()
        options.log_errors = False  # to stderr, that is
        try:
            self._compiled = re2.compile(text, options)
        except re2.error as error:
            raise ValueError(f"is no regular expression: {_text(error)}") from None
        except UnicodeEncodeError:
            raise ValueError("is no regular expression: not Unicode text") from None
        self.groups: frozenset[str] = frozenset(self._compiled.groupindex)
        """Names of its groups."""

    def search(self, text: str) -> dict[str, str | None] | None:
        """The named groups of the first match anywhere in the text (None: took no part); None without a match."""
        match = self._compiled.search(text)
        if match is None:
            return None
        named: dict[str, str | None] = match.groupdict()
        return named


def _text(error: Exception) -> str:
    reason = error.args[0] if error.args else ""
    return reason.decode(errors="replace") if isinstance(reason, bytes) else str(reason)
