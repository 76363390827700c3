import pytest

from benchmarks.load import wrk

PRINTED = """\
Running 2s test @ https://127.0.0.1:8443/
  1 threads and 50 connections
  Thread Stats   Avg      Stdev     Max   +/- Stdev
    Latency     1.37ms  340.11us  15.01ms   93.05%
    Req/Sec    33.21k     1.13k   34.60k    85.00%
  Latency Distribution
     50%    1.33ms
     75%    1.45ms
     90%    1.60ms
     99%  980.00us
  66301 requests in 2.01s, 9.36MB read
Requests/sec:  32934.20
Transfer/sec:      4.65MB
"""


def test_the_figures_are_read_whatever_their_unit() -> None:
    assert wrk.parse(PRINTED) == wrk.Requests(66301, 32934.2, 1330.0, 980.0)


@pytest.mark.parametrize(
    "line",
    ["  Socket errors: connect 0, read 3, write 0, timeout 0\n", "  Non-2xx or 3xx responses: 5\n"],
    ids=["cut off", "other status"],
)
def test_a_request_that_went_wrong_makes_the_whole_run_void(line: str) -> None:
    with pytest.raises(ValueError, match=f"wrk: {line.strip()}"):
        wrk.parse(PRINTED.replace("Requests/sec", f"{line}Requests/sec"))


@pytest.mark.parametrize("missing", ["66301 requests in 2.01s", "     99%  980.00us\n", "Requests/sec:  32934.20"])
def test_a_figure_that_is_missing_is_an_error(missing: str) -> None:
    with pytest.raises(ValueError, match="wrk: "):
        wrk.parse(PRINTED.replace(missing, ""))
