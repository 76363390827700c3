import os

import pytest

from benchmarks.net import Address
from benchmarks.peers import Target, parse_target, targets

KINDS = ["http", "redis"]


def test_a_target_without_a_kind_fronts_every_kind() -> None:
    (target,) = targets([parse_target("mine=127.0.0.1:9000,17")], KINDS)
    assert target == Target("mine", dict.fromkeys(KINDS, Address("127.0.0.1", 9000)), 17)
    assert target.serves(KINDS)


def test_arguments_of_one_name_are_one_target() -> None:
    arguments = ["mine/http=127.0.0.1:9000,17", "other/http=127.0.0.1:9009,18", "mine/redis=127.0.0.1:9001,17"]
    mine, other = targets(map(parse_target, arguments), KINDS)
    assert mine.fronts == {"http": Address("127.0.0.1", 9000), "redis": Address("127.0.0.1", 9001)}
    assert other.serves(["http"])
    assert not other.serves(["http", "redis"])


@pytest.mark.parametrize(
    "text", ["", "mine", "mine=127.0.0.1:9000", "=127.0.0.1:9000,17", "mine=127.0.0.1:9000,x", "mine=9000,17"]
)
def test_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not"):
        parse_target(text)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine/smtp=127.0.0.1:9000,17"], "'smtp' is not a kind of backend"),
        (["mine/http=127.0.0.1:9000,17", "mine/redis=127.0.0.1:9001,18"], "two pids, 17 and 18"),
    ],
)
def test_targets_that_contradict_are_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        targets(map(parse_target, arguments), KINDS)


def test_a_process_that_is_not_there_is_named() -> None:
    assert Target("mine", {}, os.getpid()).missing() == ""
    assert "no process" in Target("mine", {}, 2**22 + 1).missing()
