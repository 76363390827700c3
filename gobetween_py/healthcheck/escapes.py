r"""The escapes of a quoted Go string: `\n \r \t \\ \" \a \b \f \v`, `\xNN`, `\NNN` (octal), `\uNNNN`, `\UNNNNNNNN`.

The grammar is that of interpreted string literals, https://go.dev/ref/spec#String_literals.
"""

import re

_SINGLE = {
    "a": b"\a",
    "b": b"\b",
    "f": b"\f",
    "n": b"\n",
    "r": b"\r",
    "t": b"\t",
    "v": b"\v",
    "\\": b"\\",
    '"': b'"',
}
_TOKEN = re.compile(
    r'\\(?P<single>[abfnrtv\\"])|\\x(?P<byte>[0-9a-fA-F]{2})|\\(?P<octal>[0-3][0-7]{2})'
    r'|\\u(?P<short>[0-9a-fA-F]{4})|\\U(?P<long>[0-9a-fA-F]{8})|(?P<plain>[^\\"\n]+)'
)


def unescape(text: str) -> bytes:
    r"""The bytes that a text stands for; what is no escape stands for itself in UTF-8.

    Raises ValueError for an unknown or cut-off escape, a bare `"` or line feed, and code points that are none.
    """
    found, position = bytearray(), 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise ValueError(rf"{text[position : position + 10]!r} is no escape: known are \n \r \t \\ \" \xNN \uNNNN")
        found += _bytes_of(match)
        position = match.end()
    return bytes(found)


def _bytes_of(token: re.Match[str]) -> bytes:
    kind, value = token.lastgroup, token.group(token.lastgroup or 0)
    if kind == "single":
        return _SINGLE[value]
    if kind == "byte":
        return bytes([int(value, 16)])
    if kind == "octal":
        return bytes([int(value, 8)])
    if kind == "plain":
        return value.encode()
    code = int(value, 16)
    if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
        raise ValueError(f"{token.group()!r} is no Unicode character")
    return chr(code).encode()
