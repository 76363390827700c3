from pathlib import Path

from benchmarks.chart import draw
from benchmarks.summary import Metric, Result, summarise


def test_a_picture_is_written(tmp_path: Path) -> None:
    rounds = {"haproxy": [{"cpu": 2.0}, {"cpu": 3.0}], "ours": [{"cpu": 1.0}, {"cpu": 1.5}]}
    result = Result("case", "a case", "split", summarise([Metric("cpu", "µs")], rounds, "ours"))
    path = tmp_path / "chart.png"
    draw([result], "ours", "title", path)
    assert path.read_bytes().startswith(b"\x89PNG")
