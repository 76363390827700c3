"""Foreign text in the log."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.one_line import one_line


@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("as it is: é 中", 80, "as it is: é 中"),
        ("two\n2026-11-21 [ERROR] lines\r\n", 80, "two 2026-11-21 [ERROR] lines"),
        ("red \x1b[31m", 80, "red \\x1b[31m"),
        ("half \ud800", 80, "half \\ud800"),
        ("too long", 6, "too lo"),
    ],
)
def test_it_is_one_printable_line(text: str, most: int, shown: str) -> None:
    assert one_line(text, most) == shown


@given(st.text(), st.integers(0, 50))
def test_whatever_comes(text: str, most: int) -> None:
    line = one_line(text, most)
    assert line.isprintable()
    assert len(line) <= most
