import pytest

from benchmarks.summary import Metric, figure, figures, ratios, summarise


def test_a_figure_is_median_least_and_greatest() -> None:
    found = figure([30.0, 10.0, 20.0, 90.0])
    assert (found.median, found.least, found.greatest) == (25.0, 10.0, 90.0)


def test_a_peer_without_the_metric_is_left_out() -> None:
    """There is no CPU of a proxy where there is no proxy."""
    rounds = {"direct": [{"rate": 9.0}], "haproxy": [{"rate": 5.0, "cpu": 2.0}]}
    assert list(figures("cpu", rounds)) == ["haproxy"]
    assert list(figures("rate", rounds)) == ["direct", "haproxy"]


def test_a_ratio_pairs_the_samples_of_a_round() -> None:
    """The machine was twice as slow in the second round, for both: that must not show."""
    of_peers = {"ours": figure([1.0, 2.0, 1.1]), "theirs": figure([2.0, 4.0, 2.2])}
    assert ratios("ours", of_peers) == {"theirs": pytest.approx(0.5)}


def test_there_is_no_ratio_without_the_subject() -> None:
    assert ratios("ours", {"theirs": figure([1.0])}) == {}


def test_a_peer_that_measured_zero_has_no_ratio() -> None:
    assert ratios("ours", {"ours": figure([1.0]), "theirs": figure([0.0])}) == {}


def test_metrics_keep_their_order() -> None:
    metrics = [Metric("rate", "1/s", higher_is_better=True), Metric("cpu", "µs")]
    measured = summarise(metrics, {"ours": [{"cpu": 1.0, "rate": 2.0}]}, "ours")
    assert [one.metric.name for one in measured] == ["rate", "cpu"]
