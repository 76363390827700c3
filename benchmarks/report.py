"""Results as plain text and as a Markdown table."""

from collections.abc import Mapping, Sequence

from benchmarks.summary import Measured, Result


def number(value: float) -> str:
    """Three significant digits, or all digits before the point with separators."""
    return f"{value:,.0f}" if abs(value) >= 999.5 else f"{value:#.3g}".rstrip(".")


def header(machine: Mapping[str, str], method: Sequence[str]) -> str:
    """The machine and the method, a line each."""
    width = max(map(len, machine))
    return "\n".join([*(f"{name:<{width}}  {value}" for name, value in machine.items()), "", *method])


def text(result: Result, subject: str) -> str:
    """One case: per metric a row a peer with median, least and greatest, and the subject's ratio to that peer."""
    lines = [f"{result.title} ({result.placement})"]
    for measured in result.measured:
        lines.append(f"  {measured.metric.unit:<20} {'median':>10} {'min .. max':>21}   {subject} ÷ it")
        lines.extend(_rows(measured))
    return "\n".join(lines)


def _rows(measured: Measured) -> list[str]:
    rows = []
    for peer, figure in measured.figures.items():
        spread = f"{number(figure.least)} .. {number(figure.greatest)}"
        ratio = f"{measured.ratios[peer]:.2f}" if peer in measured.ratios else ""
        rows.append(f"    {peer:<18} {number(figure.median):>10} {spread:>21}   {ratio}".rstrip())
    return rows


def markdown(results: Sequence[Result], peers: Sequence[str], subject: str) -> str:
    """All cases as one table: a row a metric, medians of the peers, then the subject's ratio to each other peer."""
    others = [peer for peer in peers if peer != subject]
    head = ["", *peers, *(f"÷ {peer}" for peer in others)]
    rows = [head, ["---", *("---:" for _ in head[1:])]]
    for result in results:
        for measured in result.measured:
            medians = [number(measured.figures[peer].median) if peer in measured.figures else "" for peer in peers]
            ratios = [f"{measured.ratios[peer]:.2f}" if peer in measured.ratios else "" for peer in others]
            rows.append([f"{result.case}, {measured.metric.unit}", *medians, *ratios])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)
