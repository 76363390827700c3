"""The list in a YAML text, built item by item from the parser's events.

Scalars stay text, so that nothing is read as what it does not look like (`no`, `80:80`, `1_000`); what a backend needs
as a number is checked where backends are made. Aliases are refused: a few lines of them can stand for gigabytes.
"""

from collections.abc import Iterator
from typing import Any

import yaml

MAX_DEPTH = 32

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml, where PyYAML was built with it
_NULLS = {"", "~", "null", "Null", "NULL"}


def yaml_items(text: str) -> Iterator[Any]:
    """The items of the document's list: text, None, lists and dicts of these.

    Items are yielded before the rest was seen to be well-formed. Raises ValueError where the text is no YAML, no list,
    nested more than MAX_DEPTH levels, or has aliases.
    """
    events = yaml.parse(text, Loader=_LOADER)
    try:
        for event in events:
            if isinstance(event, yaml.SequenceStartEvent):
                break
            if not isinstance(event, yaml.StreamStartEvent | yaml.DocumentStartEvent):
                raise ValueError("the document is no list")
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            yield _value(event, events, MAX_DEPTH)
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                raise ValueError("more than one document")
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None


def _value(event: yaml.Event, events: Iterator[yaml.Event], depth: int) -> Any:
    """The value that begins with this event; takes its other events."""
    if depth == 0:
        raise ValueError(f"nested more than {MAX_DEPTH} levels")
    if isinstance(event, yaml.ScalarEvent):
        return None if event.implicit[0] and event.value in _NULLS else event.value
    if isinstance(event, yaml.SequenceStartEvent):
        items = []
        while not isinstance(event := next(events), yaml.SequenceEndEvent):
            items.append(_value(event, events, depth - 1))
        return items
    if isinstance(event, yaml.MappingStartEvent):
        members = {}
        while not isinstance(event := next(events), yaml.MappingEndEvent):
            key = _value(event, events, depth - 1)
            value = _value(next(events), events, depth - 1)
            members[str(key)] = value
        return members
    raise ValueError("aliases are not supported")
