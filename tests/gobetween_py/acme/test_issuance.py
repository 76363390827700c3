"""When certificates are due, and what is served meanwhile. Orders themselves are tested with a real authority."""

import asyncio
import logging
from pathlib import Path

import pytest

from gobetween_py.acme import issuance as module
from gobetween_py.acme.challenges import Challenges
from gobetween_py.acme.issuance import LEFT, RETRIES, Issuance, renewal_of
from gobetween_py.acme.store import Store
from gobetween_py.tls.certificates import Certificate
from tests.gobetween_py.acme.settings import keep, unreachable
from tests.services.certificates import Authority

HOST = "one.example.test"
DAY = 86_400.0


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


async def until(holds: object) -> None:
    assert callable(holds)
    async with asyncio.timeout(20):
        while not holds():
            await asyncio.sleep(0.01)


def test_renewals_come_well_before_the_end_and_not_all_at_once() -> None:
    certificate = Certificate(frozenset(), 0.0, 90 * DAY)
    assert [round(renewal_of(certificate, left) / DAY) for left in LEFT] == [60, 54]


def test_failed_orders_stay_below_what_authorities_allow() -> None:
    """Five failures of a host in an hour, says Let's Encrypt; ours come that often at most, jitter left out."""
    delays = [RETRIES.first * RETRIES.factor**number for number in range(10)]
    moments = [sum(delays[:number]) for number in range(10)]
    assert sum(moment < 3600 for moment in moments) == 5


async def test_what_lies_in_the_cache_is_served_and_not_ordered_again(authority: Authority, tmp_path: Path) -> None:
    settings = unreachable(tmp_path)
    path = keep(settings, authority, HOST)
    it = Issuance(settings, Challenges())
    assert {host: stored.path for host, stored in it.serving([HOST, "other.test"]).items()} == {HOST: path}
    it.keep([HOST])
    await asyncio.sleep(0.2)
    assert (it.statuses[HOST].issued, it.statuses[HOST].failures) == (0, 0)
    it.stop()


async def test_a_failure_is_told_with_what_is_served_meanwhile(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "LEFT", (1.0, 1.0))  # what is valid from now on is due now
    settings = unreachable(tmp_path)
    keep(settings, authority, HOST)
    it = Issuance(settings, Challenges())
    with caplog.at_level(logging.WARNING):
        it.keep([HOST, "none.example.test"])
        await until(lambda: len(caplog.records) == 2)
    told = {record.getMessage().partition(":")[0]: record for record in caplog.records}
    assert told[HOST].levelname == "WARNING"
    assert "Connection refused" in told[HOST].getMessage()
    assert told[HOST].getMessage().endswith(" UTC is served")
    assert told["none.example.test"].levelname == "ERROR"
    assert told["none.example.test"].getMessage().endswith("meanwhile its clients are turned away")
    assert it.statuses[HOST].failing
    assert it.serving([HOST])
    it.stop()


async def test_a_retry_that_is_asked_for_does_not_wait(tmp_path: Path) -> None:
    it = Issuance(unreachable(tmp_path), Challenges())
    it.keep([HOST])
    status = it.statuses[HOST]
    for failures in range(1, 5):  # by itself it would take minutes
        await until(lambda failures=failures: status.failures == failures)
        it.retry()
    it.stop()


async def test_what_another_process_has_renewed_is_taken_over(
    authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = unreachable(tmp_path)
    it = Issuance(settings, Challenges())
    told: list[str] = []
    with it.telling(lambda: told.append("another")):
        it.keep([HOST])
        await until(lambda: it.statuses[HOST].failures == 1)
        keep(settings, authority, HOST)
        it.retry()
        await until(lambda: told)
    assert not it.statuses[HOST].failing
    assert it.serving([HOST])
    it.stop()


async def test_other_settings_serve_what_there_was_until_they_have_their_own(
    authority: Authority, tmp_path: Path
) -> None:
    first = unreachable(tmp_path)
    path = keep(first, authority, HOST)
    before = Issuance(first, Challenges())
    assert before.serving([HOST])
    second = unreachable(tmp_path / "elsewhere")
    after = Issuance(second, before.challenges, Issuance(unreachable(tmp_path / "third"), before.challenges, before))
    assert after.serving([HOST])[HOST].path == path
    own = keep(second, authority, HOST)
    assert after.serving([HOST])[HOST].path == own


async def test_hosts_that_nobody_has_any_more_are_left(tmp_path: Path) -> None:
    it = Issuance(unreachable(tmp_path), Challenges())
    it.keep([HOST, "other.test"])
    it.keep(["other.test"])
    assert set(it.statuses) == {"other.test"}
    await until(lambda: it.statuses["other.test"].failures == 1)
    it.stop()
    assert not it.statuses


async def test_nothing_is_ordered_that_could_not_be_kept(tmp_path: Path) -> None:
    """Or a full disk would use up what an authority allows."""
    (tmp_path / "file").write_text("")
    it = Issuance(unreachable(tmp_path / "file"), Challenges())
    it.keep([HOST])
    await until(lambda: it.statuses[HOST].failures == 1)
    assert "cannot be written: Not a directory" in it.statuses[HOST].last_error
    it.stop()


async def test_an_account_whose_key_is_rubbish_is_not_silently_another_one(tmp_path: Path) -> None:
    settings = unreachable(tmp_path)
    Store(settings).keep_account_key(b"rubbish")
    it = Issuance(settings, Challenges())
    it.keep([HOST])
    await until(lambda: it.statuses[HOST].failures == 1)
    assert it.statuses[HOST].last_error == (
        "the account's key cannot be read: without its file there will be a new account"
    )
    it.stop()
