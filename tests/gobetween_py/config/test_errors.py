import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.config.errors import Path, Problem, did_you_mean, mask_url, path_text, value_text


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (Problem("a.b", "is required"), "a.b: is required"),
        (
            Problem("a", "is not allowed", "'x'", "y, z", "did you mean 'y'?"),
            "a: 'x' is not allowed; allowed: y, z; did you mean 'y'?",
        ),
        (Problem("a", "unknown key", hint="did you mean 'b'?"), "a: unknown key; did you mean 'b'?"),
    ],
)
def test_a_problem_is_one_line(problem: Problem, text: str) -> None:
    assert str(problem) == text


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("servers", "web", "rules", 1), "servers.web.rules[1]"),
        (("servers", "my web", "bind"), 'servers."my web".bind'),
        (("servers", "a.b"), 'servers."a.b"'),
        (("servers", 'say "hi"\n'), r'servers."say \"hi\"\n"'),
        (("servers", "café"), 'servers."café"'),
        (("", "a"), '"".a'),
        ((), ""),
    ],
)
def test_a_path_is_written_as_toml_would(path: Path, text: str) -> None:
    assert path_text(path) == text


@given(st.lists(st.text() | st.integers(0, 9)), st.recursive(st.text() | st.integers() | st.floats(), st.lists))
def test_paths_and_values_never_take_more_than_a_line(path: list[str | int], value: object) -> None:
    line = path_text(tuple(path)) + value_text(value)
    assert len(line.splitlines()) <= 1
    line.encode()


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (True, "true"),
        (5, "5"),
        (1.5, "1.5"),
        ("x", "'x'"),
        ("a\nb", r"'a\nb'"),
        ("x" * 500, "'" + "x" * 100 + "...'"),
        (-(10**200), "a number too large to show"),
        ({"a": "secret"}, ""),
        (["secret"], ""),
        (None, ""),
    ],
)
def test_values_are_shown_short_and_tables_and_lists_not_at_all(value: object, text: str) -> None:
    assert value_text(value) == text


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("http://me:secret@host/path", "http://me:***@host/path"),
        ("http://:secret@host", "http://:***@host"),
        ("http://me:se@cr:et@host", "http://me:***@host"),
        ("see http://a:b@c and https://d:e@f", "see http://a:***@c and https://d:***@f"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("http://me@host", "http://me@host"),
        ("a:b@c", "a:b@c"),
    ],
)
def test_passwords_in_urls_are_masked(text: str, masked: str) -> None:
    assert mask_url(text) == masked


@pytest.mark.parametrize(
    ("word", "hint"),
    [
        ("blance", "did you mean 'balance'?"),
        ("BIND", "did you mean 'bind'?"),
        ("maxConnections", "did you mean 'max_connections'?"),
        ("colour", ""),
        ("", ""),
        (5, ""),
        ("b" * 10_000, ""),
    ],
)
def test_what_is_near_is_suggested(word: object, hint: str) -> None:
    assert did_you_mean(word, ["bind", "balance", "max_connections"]) == hint
