"""Blocking calls in threads."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from discovery.blocking import Blocking
from discovery.contract import DiscoveryError

ROOT = Path(__file__).parents[2]


async def test_results_and_exceptions_come_back() -> None:
    blocking = Blocking()
    assert await blocking.call(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await blocking.call(divmod, 7, 0)
    with pytest.raises(RuntimeError, match="StopIteration"):
        await blocking.call(next, iter(()))
    for _ in range(100):
        assert await blocking.call(threading.get_ident) != threading.get_ident()


async def test_the_event_loop_goes_on_during_a_call() -> None:
    go = threading.Event()
    asyncio.get_running_loop().call_later(0.01, go.set)
    assert await Blocking().call(go.wait, 5)


async def test_after_a_call_that_hangs_the_next_fails_until_it_has_ended() -> None:
    blocking, go = Blocking(), threading.Event()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await blocking.call(go.wait)
    with pytest.raises(DiscoveryError, match="still hanging"):
        await blocking.call(abs, -1)
    go.set()
    while True:
        try:
            assert await blocking.call(abs, -1) == 1
            break
        except DiscoveryError:
            await asyncio.sleep(0.001)


def test_a_call_that_hangs_does_not_hold_up_the_end_of_the_process() -> None:
    code = """
import asyncio, time
from discovery.blocking import Blocking
async def main():
    try:
        async with asyncio.timeout(0.01):
            await Blocking().call(time.sleep, 60)
    except TimeoutError:
        print("over")
asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=50, cwd=ROOT
    )
    assert done.stdout == "over\n"
    assert done.stderr == ""
