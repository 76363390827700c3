import pytest

from benchmarks.load import redis_benchmark

COLUMNS = ["test", "rps", *(f"{name}_latency_ms" for name in ("avg", "min", "p50", "p95", "p99", "max"))]
HEAD = ",".join(f'"{column}"' for column in COLUMNS) + "\n"
ROW = '"PING_MBULK","41991.54","1.165","0.232","0.983","1.559","1.695","4.319"\n'


def test_latencies_come_out_in_microseconds() -> None:
    pings = redis_benchmark.parse(HEAD + ROW)
    assert pings.rate == 41991.54
    assert pings.p50 == pytest.approx(983)
    assert pings.p99 == pytest.approx(1695)


@pytest.mark.parametrize("printed", ["", HEAD, HEAD + ROW + ROW], ids=["nothing", "no row", "two rows"])
def test_anything_but_one_row_is_refused(printed: str) -> None:
    with pytest.raises(ValueError, match="rows of figures"):
        redis_benchmark.parse(printed)
