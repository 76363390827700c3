from benchmarks.discovery import tables
from benchmarks.discovery.change import Change
from benchmarks.discovery.many import Many
from benchmarks.discovery.pingpong import Latency
from benchmarks.summary import figure


def test_the_figures_of_a_change_stand_below_their_titles() -> None:
    times = figure([17.2, 29.2, 16.5])
    row = tables.change_row("etcd", "pushed", Change(times, figure([2.5]), figure([3.9]), figure([3.05]), 1.0))
    assert " ".join(row.split()) == "etcd pushed 17.2 (16.5 .. 29.2) 2.50 3.90 3.05 1.0"
    assert row.index("pushed") == tables.CHANGE_HEAD.index("seen by")
    assert len(row) == len(tables.CHANGE_HEAD)


def test_the_figures_of_many_stand_below_their_titles() -> None:
    latency, time = Latency(0.0271, 0.263, 8.03, 9000), figure([207.0])
    row = tables.many_row("file, lines", Many("1 to 10,000", time, time, time, latency, latency))
    figures = "207 (207 .. 207) 207 207 0.027 0.26 8.03 0.027 0.26 8.03"
    assert " ".join(row.split()) == f"file, lines 1 to 10,000 {figures}"
    assert len(row) == len(tables.MANY_HEAD)
