import pytest

from benchmarks import report
from benchmarks.summary import Metric, Result, summarise

METRICS = [Metric("rate", "messages/s", higher_is_better=True), Metric("cpu", "CPU µs/message")]
ROUNDS = {
    "direct": [{"rate": 60_000.0}, {"rate": 64_000.0}],
    "haproxy": [{"rate": 40_000.0, "cpu": 10.0}, {"rate": 41_000.0, "cpu": 10.5}],
    "ours": [{"rate": 38_000.0, "cpu": 11.0}, {"rate": 39_000.0, "cpu": 10.8}],
}
RESULT = Result("messages-50", "messages: 50 clients", "shared", summarise(METRICS, ROUNDS, "ours"))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.2274, "0.227"),
        (9.826, "9.83"),
        (10.0, "10.0"),
        (62.84, "62.8"),
        (541.0, "541"),
        (999.6, "1,000"),
        (17_146.9, "17,147"),
    ],
)
def test_numbers_have_three_digits_or_all_before_the_point(value: float, shown: str) -> None:
    assert report.number(value) == shown


def test_a_case_is_a_block_per_metric() -> None:
    assert report.text(RESULT, "ours") == (
        "messages: 50 clients (shared)\n"
        "  messages/s               median            min .. max   ours ÷ it\n"
        "    direct                 62,000      60,000 .. 64,000   0.62\n"
        "    haproxy                40,500      40,000 .. 41,000   0.95\n"
        "    ours                   38,500      38,000 .. 39,000\n"
        "  CPU µs/message           median            min .. max   ours ÷ it\n"
        "    haproxy                  10.2          10.0 .. 10.5   1.06\n"
        "    ours                     10.9          10.8 .. 11.0"
    )


def test_the_table_has_a_row_per_metric_and_gaps_where_there_is_nothing() -> None:
    assert report.markdown([RESULT], list(ROUNDS), "ours") == (
        "|  | direct | haproxy | ours | ÷ direct | ÷ haproxy |\n"
        "| --- | ---: | ---: | ---: | ---: | ---: |\n"
        "| messages-50, messages/s | 62,000 | 40,500 | 38,500 | 0.62 | 0.95 |\n"
        "| messages-50, CPU µs/message |  | 10.2 | 10.9 |  | 1.06 |"
    )


def test_machine_and_method_stand_above() -> None:
    assert report.header({"CPU": "some", "kernel": "Linux"}, ["in turn"]) == "CPU     some\nkernel  Linux\n\nin turn"
