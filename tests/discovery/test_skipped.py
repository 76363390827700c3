"""Bad entries are told once."""

import logging

import pytest

from discovery.skipped import MOST_TOLD, Skipped

logger = logging.getLogger("test")


def _settle(skipped: Skipped, caplog: pytest.LogCaptureFixture, *messages: str) -> list[str]:
    caplog.clear()
    for message in messages:
        skipped.add(message)
    skipped.settle(logger, "web")
    return caplog.messages


def test_an_entry_is_told_when_it_turns_up_and_again_only_after_it_was_gone(caplog: pytest.LogCaptureFixture) -> None:
    skipped = Skipped()
    assert _settle(skipped, caplog, "a: no port") == ["web: skipped a: no port"]
    assert _settle(skipped, caplog, "a: no port", "b: no host") == ["web: skipped b: no host"]
    assert skipped.count == 2
    assert _settle(skipped, caplog) == []
    assert skipped.count == 0
    assert _settle(skipped, caplog, "a: no port") == ["web: skipped a: no port"]


def test_of_very_many_the_first_are_named_and_all_are_counted(caplog: pytest.LogCaptureFixture) -> None:
    skipped = Skipped()
    messages = [f"entry {number}" for number in range(10_000)]
    told = _settle(skipped, caplog, *messages)
    assert len(told) == MOST_TOLD + 1
    assert told[-1] == "web: skipped 10000 entries in all"
    assert _settle(skipped, caplog, *messages) == []


def test_an_unchanged_answer_has_the_same_entries_skipped(caplog: pytest.LogCaptureFixture) -> None:
    skipped = Skipped()
    _settle(skipped, caplog, "a: no port")
    skipped.unchanged()
    assert _settle(skipped, caplog) == []
    assert skipped.count == 1
    assert _settle(skipped, caplog, "a: no port") == []


def test_a_failed_answer_tells_nothing_of_its_entries(caplog: pytest.LogCaptureFixture) -> None:
    skipped = Skipped()
    skipped.add("half of an entry")
    skipped.forget()
    assert _settle(skipped, caplog) == []
