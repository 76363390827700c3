"""plaintext: lines in an HTTP answer."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from balancer.backend import BackendSpec
from discovery.plaintext import PatternLine, Plaintext, PlaintextOptions


def make(**options: Any) -> Plaintext:
    return Plaintext(
        PlaintextOptions.model_validate({"kind": "plaintext", "plaintext_endpoint": "http://h/", **options})
    )


async def test_reads_the_backend_lines_of_the_manual() -> None:
    text = "0.0.0.0:1234 weight=0 priority=1\n0.0.0.0:4321 weight=1 priority=0 sni=host.com\n"
    assert await make().parse(text) == [
        BackendSpec("0.0.0.0", 1234, 0, 1),
        BackendSpec("0.0.0.0", 4321, 1, 0, 0, "host.com"),
    ]


async def test_carriage_returns_comments_and_empty_lines_are_passed_over() -> None:
    discovery = make()
    assert await discovery.parse("# all\r\n\r\na:1\r\n  \r\nb:2 # second\r\n") == [
        BackendSpec("a", 1),
        BackendSpec("b", 2),
    ]
    assert not discovery.skipped._now


async def test_bad_lines_are_skipped_and_named() -> None:
    discovery = make()
    assert await discovery.parse("a:1\nnothing\nb:2") == [BackendSpec("a", 1), BackendSpec("b", 2)]
    assert list(discovery.skipped._now) == [
        "line 2: 'nothing' has no port: write host:port, for example localhost:8000"
    ]


async def test_a_pattern_with_go_named_groups_reads_other_formats() -> None:
    pattern = r"^(?P<zone>\w+);(?P<host>[^;]+);(?P<port>\d+);(?P<weight>\d*);(?P<sni>\S*?)(;(?P<proxy_protocol>\w+))?$"
    discovery = make(plaintext_regex_pattern=pattern)
    text = "eu;10.0.0.1;80;5;a.example\r\nus;10.0.0.2;81;;;2\r\nbad line\r\nus;10.0.0.3;99999;;"
    assert await discovery.parse(text) == [
        BackendSpec("10.0.0.1", 80, 5, sni="a.example"),
        BackendSpec("10.0.0.2", 81, proxy_protocol="2"),
    ]
    assert list(discovery.skipped._now) == [
        "line 3: 'bad line' does not match plaintext_regex_pattern",
        "line 4: port '99999' is not a whole number from 1 to 65535",
    ]


async def test_the_default_pattern_of_the_manual_may_be_written_out() -> None:
    pattern = (
        r"(?P<host>\S+):(?P<port>\d+)(\sweight=(?P<weight>\d+))?(\spriority=(?P<priority>\d+))?(\ssni=(?P<sni>[^\s]+))?"
    )
    discovery = make(plaintext_regex_pattern=pattern)
    assert await discovery.parse("a:1 weight=2 priority=3 sni=s\n[::1]:2") == [
        BackendSpec("a", 1, 2, 3, 0, "s"),
        BackendSpec("::1", 2),
    ]


async def test_a_catastrophic_pattern_takes_no_time() -> None:
    discovery = make(plaintext_regex_pattern=r"^(?P<host>(a+)+):(?P<port>\d+)$")
    assert await discovery.parse("a" * 50_000 + "\na:1") == [BackendSpec("a", 1)]


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ("(", "is no regular expression: missing"),
        (r"(?P<host>\S+)", r"has no group \(\?P<port>\.\.\.\)"),
        (r"\S+", r"has no group \(\?P<host>\.\.\.\) and no group \(\?P<port>\.\.\.\)"),
        (r"(?P<host>a)(?=b)(?P<port>\d)", "invalid perl operator"),
    ],
)
def test_a_pattern_that_cannot_work_is_an_error_of_the_config(pattern: str, problem: str) -> None:
    with pytest.raises(ValidationError, match=problem):
        make(plaintext_regex_pattern=pattern)


LINE = PatternLine(r"(?P<host>\S+):(?P<port>\d+)( weight=(?P<weight>\S+))?( sni=(?P<sni>.+))?")


@given(st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from(":[]80 weight=sni"), max_size=40))
def test_any_line_is_a_backend_or_a_value_error(line: str) -> None:
    try:
        spec = LINE(line)
    except ValueError:
        return
    assert spec.host
    assert spec.address.encode()
