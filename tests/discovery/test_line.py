"""The backend line, and texts of many."""

import asyncio
import time

import pytest
from hypothesis import event, given
from hypothesis import strategies as st

from balancer.backend import BackendSpec
from discovery.line import MAX_LINE, content_lines, parse_line, parse_lines
from discovery.slices import PAUSE


@pytest.mark.parametrize(
    ("line", "spec"),
    [
        ("localhost:8000", BackendSpec("localhost", 8000)),
        ("localhost:8000 weight=5 sni=example.com", BackendSpec("localhost", 8000, weight=5, sni="example.com")),
        ("10.0.0.1:80 weight=0 priority=2 max_connections=9", BackendSpec("10.0.0.1", 80, 0, 2, 9)),
        ("a:1 sni=s max_connections=4 priority=3 weight=2", BackendSpec("a", 1, 2, 3, 4, "s")),
        ("  a:1 \t weight=2\r", BackendSpec("a", 1, 2)),
        ("a:1 sni=a.com,*.b.com alpn=h2,http/1.1", BackendSpec("a", 1, sni="a.com,*.b.com", alpn="h2,http/1.1")),
        ("a:1 proxy_protocol=2", BackendSpec("a", 1, proxy_protocol="2")),
        ("[::1]:80 weight=2", BackendSpec("::1", 80, 2)),
        ("[fe80::1%eth0]:80", BackendSpec("fe80::1%eth0", 80)),
        ("unix:/run/app.sock weight=3", BackendSpec("unix:/run/app.sock", 0, 3)),
    ],
)
def test_reads_a_backend(line: str, spec: BackendSpec) -> None:
    assert parse_line(line) == spec


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("", "has no port: write host:port"),
        ("localhost", "'localhost' has no port: write host:port, for example localhost:8000"),
        ("localhost:", "has no port"),
        ("[::1]", "has no port"),
        (":80", "has no host"),
        ("::1:80", "write an IPv6 address in brackets"),
        ("http://a:80", "'http://a:80' is a URL: write host:port"),
        ("http://a", "'http://a' is a URL: write host:port"),
        ("localhost:http", "port 'http' is not a whole number from 1 to 65535"),
        ("a:1 weight=-1", "weight '-1' is not a whole number from 0 to"),
        ("a:1 weight", "'weight' is no option of a backend: known are weight, priority, max_connections, sni"),
        ("a:1 wieght=2", "'wieght=2' is no option"),
        ("a:1 weight= 2", "weight has no value: write weight=value, without spaces"),
        ("a:1 weight=2 weight=3", "weight is given twice"),
        ("unix:app.sock", "has no absolute path"),
        ("a:1 proxy_protocol=3", "proxy_protocol '3' is no version: known are 1, 2 and none"),
        ("a:1 alpn=h2,,h3", "alpn 'h2,,h3' is no protocol, nor several with commas between"),
    ],
)
def test_says_what_is_wrong(line: str, problem: str) -> None:
    with pytest.raises(ValueError) as raised:  # noqa: PT011  # the text is what is tested
        parse_line(line)
    assert problem in str(raised.value)


async def test_a_bad_line_is_named_and_does_not_spoil_the_others() -> None:
    skipped: list[str] = []
    specs = await parse_lines("# backends\r\na:1\r\n\r\nb\r\n  c:3 weight=2 # the big one\r\n#d:4", skipped.append)
    assert specs == [BackendSpec("a", 1), BackendSpec("c", 3, 2)]
    assert skipped == ["line 4: 'b' has no port: write host:port, for example localhost:8000"]


async def test_where_no_line_is_a_backend_the_text_is_another_one() -> None:
    """Such as a page that says 200 and means an error: not a reason to empty the pool."""
    page = "<html>\n<title>Maintenance</title>\n</html>\n"
    with pytest.raises(ValueError, match="none of its lines is a backend, line 1: '<html>' has no port"):
        await parse_lines(page, lambda _: None)
    assert await parse_lines("# none today\n\n", pytest.fail) == []


def test_a_hash_inside_of_a_word_is_no_comment() -> None:
    assert list(content_lines("unix:/run/a#1.sock\t# a comment")) == [(1, "unix:/run/a#1.sock")]


async def test_a_line_has_a_greatest_length() -> None:
    """A megabyte of blanks between the options, for example, would take long to split."""
    skipped: list[str] = []
    lines = ["a:1" + " " * (MAX_LINE - 12) + " weight=2", "b:1 " + "x " * 1_000_000]
    assert await parse_lines("\n".join(lines), skipped.append) == [BackendSpec("a", 1, 2)]
    assert skipped == ["line 2: it has 2000003 characters; 65536 are allowed"]


def test_empty_lines_in_between_are_passed_over_with_pauses() -> None:
    found = list(content_lines("\n" * 5000 + "#\n" * 5000 + "a:1"))
    assert [item for item in found if item is not PAUSE] == [(10_001, "a:1")]
    assert found.count(PAUSE) == 10


async def test_ten_thousand_lines_give_way_to_other_work() -> None:
    """While they are parsed, a task that wants to run every turn of the loop gets many turns."""
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(turn())
    started = time.perf_counter()
    specs = await parse_lines("\n".join(f"10.0.{n >> 8}.{n & 255}:80 weight=3" for n in range(10_000)), pytest.fail)
    print(f"10,000 lines: {time.perf_counter() - started:.3f} s, {turns} turns for others")
    other.cancel()
    assert len(specs) == 10_000
    assert turns > 3


@given(st.builds(BackendSpec, st.sampled_from(["a", "10.0.0.1", "::1"]), st.integers(1, 65535), st.integers(0, 9)))
def test_what_a_backend_calls_its_address_reads_back(spec: BackendSpec) -> None:
    assert parse_line(f"{spec.address} weight={spec.weight}") == spec


@given(st.text(st.sampled_from("a1:[].-/ =#%\0\u0665weightunix"), max_size=40))
def test_any_text_is_a_backend_or_a_value_error(text: str) -> None:
    try:
        spec = parse_line(text)
    except ValueError:
        event("refused")
        return
    event("a backend")
    assert spec.host
    assert 1 <= spec.port <= 65535 or spec.host.startswith("unix:/")
