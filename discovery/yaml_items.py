"""The list in a YAML text, built item by item from the parser's events.

Scalars stay text, so that nothing is read as what it does not look like (`no`, `80:80`, `1_000`); what a backend needs
as a number is checked where backends are made. Aliases are refused: a few lines of them can stand for gigabytes.
"""

from collections.abc import Iterator
from itertools import count
from typing import Any

import yaml

MAX_DEPTH = 32
MAX_VALUES = 1_000
"""Values of an item: building it cannot be interrupted."""
MAX_STRETCH = 1 << 20
"""Characters from one value to the next: neither can reading them. 5 ms."""

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it
_NULLS = {"", "~", "null", "Null", "NULL"}


def yaml_items(text: str) -> Iterator[Any]:
    """The items of the document's list: text, None, lists and dicts of these.

    Items are yielded before the rest was seen to be well-formed. Raises ValueError where the text is no YAML, no list,
    nested more than MAX_DEPTH levels, or has aliases, items of more than MAX_VALUES or values too far apart.
    """
    source = _Source(text)
    events = source.watched(yaml.parse(source, Loader=_LOADER))
    try:
        for event in events:
            if isinstance(event, yaml.SequenceStartEvent):
                break
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                raise ValueError("the document is no list")
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield _value(event, events, MAX_DEPTH, count(1))
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise ValueError("more than one document")
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


class _Source:
    """The text, which the parser may read on only for so long without finding anything."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = self._found = 0

    def read(self, size: int = 1 << 14, /) -> str:
        """Called by the parser."""
        if self._position > self._found + MAX_STRETCH:
            raise ValueError(f"more than {MAX_STRETCH} characters from one value to the next")
        part = self._text[self._position : self._position + size]
        self._position += size
        return part

    def watched(self, events: Iterator[yaml.Event]) -> Iterator[yaml.Event]:
        """The events, each of which allows for as much text again."""
        for event in events:
            self._found = self._position
            yield event


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int, number: "count[int]") -> Any:
    """The value that begins with this event; takes its other events. `number` counts the item's values."""
    if depth == 0:
        raise ValueError(f"nested more than {MAX_DEPTH} levels")
    if next(number) > MAX_VALUES:
        raise ValueError(f"an entry of more than {MAX_VALUES} values")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.implicit[0] and event.value in _NULLS else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(event, events, depth - 1, number))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        members = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _value(event, events, depth - 1, number)
            value = _value(next(events), events, depth - 1, number)
            members[str(key)] = value
        return members
    raise ValueError("aliases are not supported")
