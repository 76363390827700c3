"""Fuzzing the parsers: FUZZ_EXAMPLES says how many texts each property is tried on; the number that ran is printed."""

import os
import re
from collections.abc import Generator

import pytest
from hypothesis import settings

_RAN = pytest.StashKey[dict[str, int]]()

# No deadline: how long an example takes says more of the machine than of the parser.
settings.register_profile("discovery", max_examples=int(os.environ.get("FUZZ_EXAMPLES", "100")), deadline=None)
settings.load_profile("discovery")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    statistics = getattr(item, "hypothesis_statistics", "")
    passing = sum(int(count) for count in re.findall(r"(\d+) passing", statistics))
    item.config.stash.setdefault(_RAN, {})[item.nodeid] = passing
    return (yield)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    ran = {name: count for name, count in config.stash.get(_RAN, {}).items() if count}
    if ran:
        terminalreporter.line(f"fuzzing of discovery: {sum(ran.values()):,} examples passed in {len(ran)} properties")
