import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.healthcheck.escapes import unescape


@pytest.mark.parametrize(
    ("text", "data"),
    [
        (r"PING\r\n", b"PING\r\n"),
        (r"\x00\xfF", b"\x00\xff"),
        (r"\\n", b"\\n"),
        (r"\"", b'"'),
        (r"\a\b\f\n\r\t\v", b"\a\b\f\n\r\t\v"),
        (r"\000\377", b"\x00\xff"),
        (r"\u00e9\U0001F600", "é😀".encode()),
        ("é\t'", "é\t'".encode()),
        ("", b""),
    ],
)
def test_escapes_are_those_of_a_quoted_go_string(text: str, data: bytes) -> None:
    assert unescape(text) == data


@pytest.mark.parametrize(
    "text",
    [
        *["\\", r"\q", r"\'", r"\x", r"\x1", r"\xg0", r"\08", r"\400", r"\1", r"\u12", r"\ud800", r"\U00110000"],
        *['"', "a\nb", r"\X41"],
    ],
)
def test_what_go_would_refuse_is_a_value_error(text: str) -> None:
    with pytest.raises(ValueError, match="is no"):
        unescape(text)


@given(st.binary())
def test_every_byte_can_be_written(data: bytes) -> None:
    assert unescape("".join(f"\\x{byte:02x}" for byte in data)) == data


@given(st.text(alphabet=st.characters(exclude_characters='\\"\n', exclude_categories=["Cs"])))
def test_what_is_no_escape_stands_for_itself(text: str) -> None:
    assert unescape(text) == text.encode()


@given(st.text(alphabet=st.sampled_from('\\"nxu0189afU\n') | st.characters()))
def test_any_text_is_bytes_or_a_value_error(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert isinstance(unescape(text), bytes)
