"""Go durations: text in, seconds inside, text out."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ValidationError

from discovery.duration import LONGEST, Duration, format_duration, parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0),
        ("+0", 0),
        ("-0", 0),
        ("0s", 0),
        ("5s", 5),
        ("+5s", 5),
        ("300ms", 0.3),
        ("1h2m3.5s", 3723.5),
        ("1m30s", 90),
        ("2h", 7200),
        (".5s", 0.5),
        ("5.s", 5),
        ("1s1h", 3601),
        ("7ns", 7e-9),
        ("7us", 7e-6),
        ("7\u00b5s", 7e-6),
        ("7\u03bcs", 7e-6),
    ],
)
def test_reads_what_go_reads(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("-5s", "is negative"),
        ("5", "has no unit"),
        ("1.5", "has no unit"),
        ("5x", "has the unknown unit 'x'"),
        ("5d", "has the unknown unit 'd'"),
        ("5S", "has no meaning"),
        ("", "has no meaning"),
        ("+", "has no meaning"),
        ("--5s", "is negative"),
        ("++5s", "has no meaning"),
        (".s", "has no meaning"),
        ("5 s", "has no meaning"),
        ("5s ", "has no meaning"),
        ("five", "has no meaning"),
        ("\u0665s", "has no meaning"),
        ("999999999h", "is too long"),
    ],
)
def test_says_what_is_wrong(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=f"^duration '.*' {problem}"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0"),
        (0.3, "300ms"),
        (0.0015, "1.5ms"),
        (2e-6, "2us"),
        (3e-9, "3ns"),
        (1, "1s"),
        (90, "1m30s"),
        (3600, "1h"),
        (7200, "2h"),
        (3723.5, "1h2m3.5s"),
    ],
)
def test_writes_the_shortest_text(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(st.integers(0, 2**53))
def test_text_and_seconds_are_the_same(nanoseconds: int) -> None:
    """What is written reads back as the same duration, to the nanosecond or the precision of a float."""
    seconds = nanoseconds / 1e9
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12, abs=1e-9)


@given(st.text(max_size=30))
def test_any_text_is_a_duration_or_a_value_error(text: str) -> None:
    try:
        seconds = parse_duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= LONGEST


class _Model(BaseModel):
    interval: Duration = 0.0


def test_a_field_is_dumped_as_the_text_that_validates_again() -> None:
    model = _Model.model_validate({"interval": "1m30s"})
    assert model.interval == 90.0
    assert model.model_dump() == {"interval": "1m30s"}
    assert _Model.model_validate(model.model_dump()) == model


@pytest.mark.parametrize("value", [5, 0.5, True, None, ["5s"]])
def test_a_number_without_a_unit_is_refused(value: object) -> None:
    """Nobody can tell whether 5 means seconds or, as in Go, nanoseconds."""
    with pytest.raises(ValidationError, match="has no unit"):
        _Model.model_validate({"interval": value})


def test_the_json_schema_describes_text() -> None:
    assert _Model.model_json_schema()["properties"]["interval"]["type"] == "string"
