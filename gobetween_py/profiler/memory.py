"""What was allocated while somebody was looking, and is still there."""

from __future__ import annotations

import asyncio
import tracemalloc
from pathlib import Path

MOST = 40
"""Lines of code that are shown."""
PACKAGES = Path(__file__).parents[2]


async def report(seconds: float) -> str:
    """Trace every allocation for so long; the lines of code that hold most of what is left, and the process's memory.

    Tracing makes each allocation several times as dear, and the report is made in a thread that the relays share the
    interpreter with.
    """
    tracing_already = tracemalloc.is_tracing()
    if not tracing_already:
        tracemalloc.start()
    try:
        await asyncio.sleep(seconds)
        return await asyncio.to_thread(_report, seconds)
    finally:
        if not tracing_already:
            tracemalloc.stop()


def _report(seconds: float) -> str:
    snapshot = tracemalloc.take_snapshot().filter_traces(
        [tracemalloc.Filter(False, tracemalloc.__file__), tracemalloc.Filter(False, __file__)]
    )
    found = snapshot.statistics("lineno")
    lines = [
        f"resident: {_status('VmRSS')}, at most so far: {_status('VmHWM')}",
        f"allocated within {seconds:g} s and still there: {sum(each.size for each in found):,} bytes",
        "",
        f"{'bytes':>12} {'blocks':>8}  where",
    ]
    for each in found[:MOST]:
        where = each.traceback[0]
        file = where.filename.removeprefix(f"{PACKAGES}/")
        lines.append(f"{each.size:>12,} {each.count:>8,}  {file}:{where.lineno}")
    return "\n".join([*lines, ""])


def _status(key: str) -> str:
    """A line of proc(5)'s status."""
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == key:
            return value.strip()
    return "unknown"
