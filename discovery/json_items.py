"""The array in a JSON text (RFC 8259), decoded item by item."""

import json
import re
from collections.abc import Generator, Iterator
from typing import Any

from discovery.document import INDEX, Path
from discovery.slices import PAUSE

MAX_ITEM = 256 * 1024
"""Characters of an item; a larger one is an error, since decoding it could not be interrupted: 3 ms for this many."""


def json_items(text: str, path: Path = (), largest: int = MAX_ITEM) -> Iterator[Any]:
    """The items of the array at a path of a JSON text, decoded one by one.

    json.loads keeps the interpreter's lock over the whole of a text, in a thread too: megabytes of it would hold up
    every relay. Items are yielded before the rest was seen to be well-formed. While a value beside the path that is
    larger than an item may be is passed over, PAUSE is yielded (see slices.py).

    Raises ValueError where the text is no JSON, has no array at the path or an item that is too large, RecursionError
    where it is nested too deeply.
    """
    reader = _Reader(text, largest)
    entered = []
    for key in path:
        entered.append((yield from reader.enter(key)))
    reader.expect("[", "an array")
    if reader.next() == "]":
        reader.position += 1
    else:
        more = True
        while more:
            yield reader.value()
            more = reader.separator("]")
    for close in reversed(entered):
        while reader.separator(close):
            if close == "}":
                reader.key()
            yield from reader.skip()
    if reader.next():
        raise ValueError(f"more text after the document, at character {reader.position}")


_BLANK = re.compile(r"[ \t\n\r]*")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON (RFC 8259)")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


class _TooLargeError(ValueError):
    """A value is larger than it may be."""


class _Reader:
    """A position in a JSON text.

    Values are decoded from a copy of the part of the text that begins there, so that the decoder has an end.
    """

    def __init__(self, text: str, largest: int) -> None:
        self.text = text
        self.position = 0
        self._largest = largest
        self._part = text[: 2 * largest]
        self._part_start = 0

    def next(self) -> str:
        """The character that comes next, blanks apart; "" at the end. Stays before it."""
        match = _BLANK.match(self.text, self.position)
        self.position = match.end() if match else self.position
        return self.text[self.position : self.position + 1]

    def expect(self, character: str, what: str) -> None:
        """Goes over the character. Raises ValueError where another comes."""
        if self.next() != character:
            raise self.unexpected(what)
        self.position += 1

    def unexpected(self, what: str) -> ValueError:
        """What was expected instead of what comes next."""
        found = repr(self.text[self.position : self.position + 20]) if self.next() else "the end"
        return ValueError(f"expected {what} at character {self.position}, found {found}")

    def value(self) -> Any:
        """Decodes the value that comes next and goes over it."""
        self.next()
        start = self.position - self._part_start
        if not 0 <= start <= self._largest:  # else as much as a value may be is left of the part
            self._part = self.text[self.position : self.position + 2 * self._largest]
            self._part_start, start = self.position, 0
        try:
            found, end = _DECODER.raw_decode(self._part, start)
        except json.JSONDecodeError as error:
            at = self._part_start + error.pos
            cut = self._part_start + len(self._part) < len(self.text)
            if cut and (error.msg.startswith("Unterminated") or error.pos > len(self._part) - 8):
                raise self._too_large() from None
            raise ValueError(f"{error.msg} at character {at}") from None
        if end - start > self._largest:
            raise self._too_large()
        self.position = self._part_start + end
        return found

    def skip(self) -> Iterator[Any]:
        """Goes over the value that comes next; over a large one member by member, with a PAUSE before each."""
        try:
            self.value()
        except _TooLargeError:
            if self.next() not in ("{", "["):
                raise
            yield from self._skip_members()

    def separator(self, close: str) -> bool:
        """Goes over a comma (True) or the closing bracket (False)."""
        if self.next() == close:
            self.position += 1
            return False
        self.expect(",", f"',' or {close!r}")
        return True

    def key(self) -> str:
        """Goes over the key of a member and its colon."""
        if self.next() != '"':
            raise self.unexpected("a key in quotes")
        key: str = self.value()
        self.expect(":", "':'")
        return key

    def enter(self, key: str) -> Generator[Any, None, str]:
        """Goes to the value of a key of the object, or the index of the array, that comes next; returns its end."""
        if self.next() == "{":
            return (yield from self._enter_object(key))
        if self.next() == "[" and INDEX.fullmatch(key):
            return (yield from self._enter_array(int(key)))
        raise self.unexpected(f"an object with the key {key!r}")

    def _enter_object(self, key: str) -> Generator[Any, None, str]:
        self.position += 1
        more = self.next() != "}"
        while more:
            if self.key() == key:
                return "}"
            yield from self.skip()
            more = self.separator("}")
        raise ValueError(f"no key {key!r}")

    def _enter_array(self, index: int) -> Generator[Any, None, str]:
        self.position += 1
        more = self.next() != "]"
        while more:
            if index == 0:
                return "]"
            yield from self.skip()
            index -= 1
            more = self.separator("]")
        raise ValueError(f"the array ends {index + 1} before the index asked for")

    def _skip_members(self) -> Iterator[Any]:
        close = "}" if self.next() == "{" else "]"
        self.position += 1
        more = True
        while more:
            yield PAUSE
            if close == "}":
                self.key()
            yield from self.skip()
            more = self.separator(close)

    def _too_large(self) -> _TooLargeError:
        return _TooLargeError(f"the value at character {self.position} is longer than {self._largest} characters")
