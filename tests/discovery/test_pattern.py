"""Expressions in Go's syntax."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from discovery.pattern import Pattern


def test_named_groups_as_go_writes_them() -> None:
    pattern = Pattern(r"(?P<host>\S+):(?P<port>\d+)(\sweight=(?P<weight>\d+))?")
    assert pattern.groups == {"host", "port", "weight"}
    assert pattern.search("at 10.0.0.1:80") == {"host": "10.0.0.1", "port": "80", "weight": None}
    assert pattern.search("nothing") is None


@pytest.mark.parametrize("text", [r"^[[:alpha:]]+\z", r"a(?i)B", r"\pL+", r"\Qab\E"])
def test_what_python_reads_otherwise_is_read_as_go_does(text: str) -> None:
    assert Pattern(text).search("ab") == {}


@pytest.mark.parametrize("text", ["(", "(?=x)", r"\8", "[", "*", "\ud800"])
def test_what_go_refuses_is_refused(text: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match=r"^is no regular expression: [^b]"):
        Pattern(text)
    assert capfd.readouterr().err == ""


def test_a_catastrophic_expression_is_linear() -> None:
    """Python's re would take longer than the age of the universe."""
    assert Pattern(r"^(a+)+$").search("a" * 100_000 + "b") is None


@given(st.text(st.sampled_from("ab()[]{}*+?|\\^$.<>P:=!-,109zdpL\ud800"), max_size=20), st.text(max_size=20))
def test_any_text_is_an_expression_or_a_value_error(text: str, line: str) -> None:
    try:
        pattern = Pattern(text)
    except ValueError:
        return
    assert pattern.search(line.encode(errors="replace").decode()) is None or pattern.groups is not None
