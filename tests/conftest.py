"""For every test: a failed one shows what the running servers logged; a run that leaves something behind has failed."""

import signal
from collections.abc import Generator
from types import FrameType

import pytest

from tests.services import leaks, process

_LEFT = pytest.StashKey[list[str]]()


def pytest_sessionstart(session: pytest.Session) -> None:
    leaks.adopt_orphans()
    signal.signal(signal.SIGTERM, _interrupt)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """A cancelled job stops its servers as Ctrl-C does."""
    raise KeyboardInterrupt


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        for server in sorted(process.running, key=lambda server: server.name):
            report.sections.append((f"log of {server.name} (pid {server.pid})", server.log_tail()))
    return report


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """After the last fixture's end nothing may be alive, mounted or lying about."""
    left = [f"process {one}" for one in leaks.end_children()]
    left += [f"trace {name}" for name in leaks.traces()]
    session.config.stash[_LEFT] = left
    if left and session.exitstatus in {pytest.ExitCode.OK, pytest.ExitCode.NO_TESTS_COLLECTED}:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if left := config.stash.get(_LEFT, []):
        terminalreporter.section("left behind by this run", red=True)
        for one in left:
            terminalreporter.line(one)
