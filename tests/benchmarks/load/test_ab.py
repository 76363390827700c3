import pytest

from benchmarks.load import ab

PRINTED = """\
This is ApacheBench, Version 2.3 <$Revision: 1913912 $>

Server Software:        nginx/1.22.1
Document Length:        2 bytes

Concurrency Level:      20
Time taken for tests:   0.295 seconds
Complete requests:      2000
Failed requests:        0
Total transferred:      288000 bytes
Requests per second:    6785.43 [#/sec] (mean)
Time per request:       2.947 [ms] (mean)
Time per request:       0.147 [ms] (mean, across all concurrent requests)
"""


def test_the_rate_is_read() -> None:
    assert ab.parse(PRINTED, requests=2000) == 6785.43


@pytest.mark.parametrize(
    ("line", "instead"),
    [
        (
            "Failed requests:        0",
            "Failed requests:        52\n   (Connect: 0, Receive: 0, Length: 52, Exceptions: 0)",
        ),
        ("Failed requests:        0", "Failed requests:        0\nNon-2xx responses:      7"),
        ("Complete requests:      2000", "Complete requests:      1999"),
        ("Complete requests:      2000\n", ""),
    ],
    ids=["failed", "other status", "too few", "none counted"],
)
def test_a_request_that_went_wrong_makes_the_whole_run_void(line: str, instead: str) -> None:
    with pytest.raises(ValueError, match=r"ab: \d+ of 2000 requests complete"):
        ab.parse(PRINTED.replace(line, instead), requests=2000)
