"""Counting passes and fails."""

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gobetween_py.healthcheck.verdict import Verdict


def verdicts(live: bool | None, results: str, passes: int = 1, fails: int = 1) -> list[bool | None]:
    """The verdict after each result: "+" or "-"."""
    verdict = Verdict(live)
    found = []
    for result in results:
        verdict.record(result == "+", passes=passes, fails=fails)
        found.append(verdict.live)
    return found


def test_so_many_failures_in_a_row_make_it_unhealthy() -> None:
    assert verdicts(True, "--+---", fails=3) == [True, True, True, True, True, False]


def test_so_many_successes_in_a_row_make_it_healthy() -> None:
    assert verdicts(False, "++-+++", passes=3) == [False] * 5 + [True]


def test_a_result_of_the_other_kind_starts_the_count_over() -> None:
    """gobetween would go on counting: three failures with successes in between were three in a row to it."""
    assert False not in verdicts(True, "--+" * 10, fails=3)


@pytest.mark.parametrize("first", ["+", "-"])
def test_without_a_verdict_the_first_result_decides(first: str) -> None:
    assert verdicts(None, first, passes=9, fails=9) == [first == "+"]


@given(st.booleans(), st.text("+-", max_size=60), st.integers(1, 5), st.integers(1, 5))
def test_it_is_that_of_the_last_run_long_enough(live: bool, results: str, passes: int, fails: int) -> None:
    """And every change is told of, exactly once."""
    verdict, told = Verdict(live), 0
    for result in results:
        before = verdict.live
        told = verdict.record(result == "+", passes=passes, fails=fails)
        assert told == (verdict.live != before)
    expected = live
    for sign, group in groupby(results):
        if len(list(group)) >= (passes if sign == "+" else fails):
            expected = sign == "+"
    assert verdict.live is expected
