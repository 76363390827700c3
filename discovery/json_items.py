"""The array in a JSON text (RFC 8259), decoded item by item."""

import json
import re
from collections.abc import Iterator
from typing import Any

from discovery.document import INDEX, Path


def json_items(text: str, path: Path = ()) -> Iterator[Any]:
    """The items of the array at a path of a JSON text, decoded one by one.

    json.loads keeps the interpreter's lock over the whole of a text, in a thread too: megabytes of it would hold up
    every relay. Items are yielded before the rest was seen to be well-formed.

    Raises ValueError where the text is no JSON or has no array at the path, RecursionError where it is nested too
    deeply.
    """
    reader = _Reader(text)
    entered = [reader.enter(key) for key in path]
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
            reader.member(close)
    if reader.next():
        raise ValueError(f"more text after the document, at character {reader.position}")


_BLANK = re.compile(r"[ \t\n\r]*")


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON (RFC 8259)")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


class _Reader:
    """A position in a JSON text."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

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
        found, self.position = _DECODER.raw_decode(self.text, self.position)
        return found

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

    def member(self, close: str) -> None:
        """Goes over a whole member of an object, or an item of an array."""
        if close == "}":
            self.key()
        self.value()

    def enter(self, key: str) -> str:
        """Goes to the value of a key of the object, or the index of the array, that comes next; returns its end."""
        if self.next() == "{":
            return self._enter_object(key)
        if self.next() == "[" and INDEX.fullmatch(key):
            return self._enter_array(int(key))
        raise self.unexpected(f"an object with the key {key!r}")

    def _enter_object(self, key: str) -> str:
        self.position += 1
        more = self.next() != "}"
        while more:
            if self.key() == key:
                return "}"
            self.value()
            more = self.separator("}")
        raise ValueError(f"no key {key!r}")

    def _enter_array(self, index: int) -> str:
        self.position += 1
        more = self.next() != "]"
        while more:
            if index == 0:
                return "]"
            self.value()
            index -= 1
            more = self.separator("]")
        raise ValueError(f"the array ends {index + 1} before the index asked for")
