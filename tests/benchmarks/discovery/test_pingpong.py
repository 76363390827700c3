"""A game through no proxy at all: the front is the back."""

import subprocess
import sys
import time
from array import array

import pytest

from benchmarks.discovery.pingpong import Game, playing
from tests.services.ports import free_port


def game(*balls: tuple[float, float]) -> Game:
    """One that is over, of balls sent and under way for so many seconds."""
    numbers = array("q", (round(seconds * 1e9) for ball in balls for seconds in ball))
    written = f"import sys; sys.stdout.buffer.write({numbers.tobytes()!r})"
    ended = Game(subprocess.Popen([sys.executable, "-c", written], stdin=subprocess.PIPE, stdout=subprocess.PIPE))
    ended.end()
    return ended


def test_the_balls_that_were_under_way_count() -> None:
    """Also one that was sent before the time, or came back after it: it is the one that was held up."""
    ended = game((1.0, 0.001), (2.0, 0.5), (2.6, 0.002), (2.9, 0.3), (3.3, 0.004))
    latency = ended.latency(2.2, 3.0)
    assert latency.count == 3
    assert (latency.p50, latency.p99, latency.longest) == pytest.approx((300, 500, 500))


def test_no_ball_is_an_error_and_no_figure() -> None:
    with pytest.raises(ValueError, match="no ball"):
        game((1.0, 0.001)).latency(2.0, 3.0)


def test_a_game_is_played_until_its_end() -> None:
    port = free_port()
    with playing(port, port) as played:
        began = time.monotonic()
        time.sleep(0.1)
        played.end()
    latency = played.latency(began, time.monotonic())
    assert latency.count > 10
    assert 0 < latency.p50 <= latency.p99 <= latency.longest
