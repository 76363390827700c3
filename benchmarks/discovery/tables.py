"""Results as text."""

from benchmarks.discovery.change import Change
from benchmarks.discovery.many import Many
from benchmarks.discovery.pingpong import Latency
from benchmarks.report import number
from benchmarks.summary import Figure

CHANGE_HEAD = "".join(
    f"{title:{place}}"
    for title, place in (
        ("", "<13"),
        ("seen by", "<10"),
        ("ms to the new backend", ">31"),
        ("source's part", ">15"),
        ("CPU ms", ">9"),
        ("idle", ">9"),
        ("window s", ">10"),
    )
)
MANY_HEAD = "".join(
    f"{title:{place}}"
    for title, place in (
        ("", "<32"),
        ("ms", ">26"),
        ("source's", ">10"),
        ("CPU ms", ">9"),
        ("during: p50", ">14"),
        ("p99", ">7"),
        ("max", ">7"),
        ("without: p50", ">15"),
        ("p99", ">7"),
        ("max", ">7"),
    )
)


def change_row(name: str, seen: str, change: Change) -> str:
    return (
        f"{name:<12} {seen:<10} {_spread(change.time):>30} {number(change.source.median):>14}"
        f" {number(change.cpu.median):>8} {number(change.idle.median):>8} {change.window:>9.1f}"
    )


def many_row(name: str, many: Many) -> str:
    return (
        f"{name:<12} {many.what:<18} {_spread(many.time):>26}"
        f" {number(many.source.median):>9} {number(many.cpu.median):>8}"
        f"   {_latency(many.during, 11)}   {_latency(many.before, 12)}"
    )


def _spread(figure: Figure) -> str:
    return f"{number(figure.median)} ({number(figure.least)} .. {number(figure.greatest)})"


def _latency(latency: Latency, width: int) -> str:
    return f"{latency.p50:>{width}.3f} {latency.p99:>6.2f} {latency.longest:>6.2f}"
