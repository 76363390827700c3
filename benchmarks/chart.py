"""Results as a picture: a panel per metric, a bar per peer, the spread as a whisker."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from benchmarks.report import number
from benchmarks.summary import Measured, Result

COLUMNS = 4
GREY, ACCENT = "#9aa5b1", "#1f6feb"


def draw(results: Sequence[Result], subject: str, title: str, path: Path) -> None:
    """Writes the picture; its format is that of the path's suffix."""
    mpl.use("Agg")
    panels = [(result, measured) for result in results for measured in result.measured if measured.figures]
    rows = math.ceil(len(panels) / COLUMNS)
    figure = Figure(figsize=(4 * COLUMNS, 0.5 + 2.2 * rows), layout="constrained")
    figure.suptitle(title, fontsize=11)
    for place, (result, measured) in enumerate(panels, 1):
        _panel(figure.add_subplot(rows, COLUMNS, place), result, measured, subject)
    figure.savefig(path, dpi=110)


def _panel(axes: Axes, result: Result, measured: Measured, subject: str) -> None:
    peers = list(measured.figures)
    figures = list(measured.figures.values())
    medians = [figure.median for figure in figures]
    below = [figure.median - figure.least for figure in figures]
    above = [figure.greatest - figure.median for figure in figures]
    colours = [ACCENT if peer == subject else GREY for peer in peers]
    bars = axes.barh(peers, medians, xerr=[below, above], color=colours, ecolor="#555555", capsize=2)
    axes.bar_label(bars, [number(median) for median in medians], padding=4, fontsize=8)
    axes.invert_yaxis()
    axes.margins(x=0.25)
    axes.xaxis.set_major_locator(MaxNLocator(4))
    arrow = "more is better" if measured.metric.higher_is_better else "less is better"
    axes.set_title(f"{result.case}: {measured.metric.unit} ({arrow})", fontsize=9)
    axes.tick_params(labelsize=8)
