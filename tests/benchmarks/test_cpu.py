import os
import subprocess
import sys
import time

import pytest

from benchmarks.cpu import on_cpus, placement, process_cpu_seconds

BURN = """
import threading, time
def burn():
    while time.thread_time() < 0.2: pass
thread = threading.Thread(target=burn)
thread.start(); thread.join()
print("burnt", flush=True)
input()
"""


def test_it_agrees_with_the_clock_of_this_process() -> None:
    before = time.process_time()
    read = process_cpu_seconds(os.getpid())
    assert before <= read <= time.process_time()


def test_threads_that_ended_are_counted() -> None:
    with subprocess.Popen([sys.executable, "-c", BURN], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        process.stdout.readline()
        used = process_cpu_seconds(process.pid)
        process.stdin.write(b"\n")
        process.stdin.close()
    assert used >= 0.2


def test_a_process_that_is_gone_is_an_error() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    with pytest.raises(OSError, match="Invalid argument"):
        process_cpu_seconds(process.pid)


def test_placements_stay_within_the_cpus_that_there_are() -> None:
    cpus = os.sched_getaffinity(0)
    for kind in "shared", "split", "free":
        where = placement(kind)
        assert where.proxy | where.rest <= cpus
    assert placement("shared").proxy == placement("shared").rest
    assert placement("free").proxy == cpus


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one CPU cannot be split")
def test_split_leaves_the_proxy_alone_on_its_cpu() -> None:
    where = placement("split")
    assert len(where.proxy) == 1
    assert not where.proxy & where.rest


def test_a_process_is_put_back_where_it_was() -> None:
    before = os.sched_getaffinity(0)
    one = {min(before)}
    with on_cpus(0, frozenset(one)):
        assert os.sched_getaffinity(0) == one
    assert os.sched_getaffinity(0) == before
