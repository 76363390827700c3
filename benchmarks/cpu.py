"""CPU time of a process to the nanosecond, and who runs on which CPU."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

CPUCLOCK_SCHED = 2  # linux/posix-timers.h: the clock of the scheduler's own accounting


def process_cpu_seconds(pid: int) -> float:
    """CPU seconds (user and system, all threads, ended ones included) that a process has used.

    It reads the CPU clock of the process, clock_getcpuclockid(3), whose id on Linux is made of the pid. /proc/PID/stat
    counts the same in ticks of 10 ms; /proc/PID/schedstat counts in nanoseconds too, but one thread only.

    Raises:
        OSError: there is no such process.
    """
    return time.clock_gettime_ns((~pid << 3) | CPUCLOCK_SCHED) / 1e9


@dataclass(frozen=True, slots=True)
class Placement:
    """The CPUs of the proxy, and those of everything else (generators and backends)."""

    proxy: frozenset[int]
    rest: frozenset[int]


def placement(kind: str) -> Placement:
    """A placement on the CPUs that this process may use.

    Args:
        kind: `shared`: everything on one CPU; `split`: the proxy alone on one, everything else on the others; `free`:
            everything anywhere. With a single CPU all are the same.
    """
    cpus = frozenset(os.sched_getaffinity(0))
    one = frozenset({max(cpus)})
    if kind == "shared":
        return Placement(one, one)
    if kind == "split" and len(cpus) > 1:
        return Placement(one, cpus - one)
    return Placement(cpus, cpus)


@contextmanager
def on_cpus(pid: int, cpus: frozenset[int]) -> Iterator[None]:
    """Keeps all threads of a running process (0 = this one) on `cpus` while the block runs, then puts them back."""
    threads = [int(task.name) for task in Path(f"/proc/{pid or os.getpid()}/task").iterdir()]
    before = {thread: os.sched_getaffinity(thread) for thread in threads}
    try:
        for thread in threads:
            os.sched_setaffinity(thread, cpus)
        yield
    finally:
        for thread, its_cpus in before.items():
            with suppress(ProcessLookupError):
                os.sched_setaffinity(thread, its_cpus)


@contextmanager
def realtime(pid: int) -> Iterator[None]:
    """Runs a process (0 = this one) before all ordinary ones on its CPU, where the system allows it (root does)."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO, os.sched_param(1))
    except PermissionError:
        yield
        return
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.sched_setscheduler(pid, os.SCHED_OTHER, os.sched_param(0))
