"""When failed connects eject a backend, and for how long."""

from gobetween_py.healthcheck.contract import Options
from gobetween_py.healthcheck.ejection import Ejection

OPTIONS = Options.model_validate(
    {"max_fails": 3, "fail_window": "10s", "ejection_time": "20s", "max_ejection_time": "1m"}
)


def test_so_many_failures_within_the_window_are_enough() -> None:
    ejection = Ejection()
    assert [ejection.failed(at, OPTIONS) for at in (100, 105, 109)] == [False, False, True]


def test_the_window_slides() -> None:
    ejection = Ejection()
    assert [ejection.failed(at, OPTIONS) for at in (100, 105, 110, 115, 116)] == [False, False, False, False, True]


def test_an_ejection_takes_twice_as_long_as_the_one_before_up_to_the_longest() -> None:
    ejection, now, lengths = Ejection(), 1000.0, []
    for _ in range(5):
        lengths.append(ejection.begin(now, OPTIONS))
        now = ejection.until + 1
    assert lengths == [20, 40, 60, 60, 60]
    assert ejection.count == 5


def test_a_backend_that_stayed_in_as_long_as_it_was_out_starts_over() -> None:
    ejection = Ejection()
    ejection.begin(1000, OPTIONS)
    ejection.begin(ejection.until + 1, OPTIONS)
    assert ejection.begin(ejection.until + 39, OPTIONS) == 60
    assert ejection.begin(ejection.until + 60, OPTIONS) == 20


def test_failures_before_an_ejection_do_not_count_after_it() -> None:
    ejection = Ejection()
    for at in (100, 101, 102):
        ejection.failed(at, OPTIONS)
    ejection.begin(102, OPTIONS)
    assert not ejection.failed(103, OPTIONS)


def test_one_that_must_not_be_ejected_is_left_alone_for_a_window() -> None:
    ejection = Ejection()
    for at in (100, 101, 102):
        ejection.failed(at, OPTIONS)
    ejection.deny(102, OPTIONS)
    assert not any(ejection.failed(at, OPTIONS) for at in (103, 104, 105, 111, 112, 113))
    assert ejection.failed(114, OPTIONS)
