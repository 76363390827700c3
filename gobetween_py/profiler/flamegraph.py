"""A profile as a flame graph: a box for each function, as wide as its time, standing on the one that called it."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from pyinstrument.frame import Frame
    from pyinstrument.session import Session

WIDTH, ROW, MARGIN = 1200, 18, 24
LETTER = 6.6
"""Pixels of a letter."""
LEAST = 0.3
"""Pixels of the narrowest box that is drawn, with all that stands on it."""

OURS, OTHERS, BUILT_IN = "#f4a259", "#e9d8a6", "#94b8d0"
"""Colours: functions of this program, of libraries, and of C, which are mostly system calls."""
PACKAGES = ("gobetween_py/", "balancer/", "discovery/")


class Box(NamedTuple):
    """A function called along one path: where it begins and how wide it is in seconds, and how deep the path is."""

    name: str
    where: str
    start: float
    time: float
    depth: int


def svg(session: Session) -> str:
    """The picture; each box tells its figures to a mouse that rests on it."""
    from pyinstrument.processors import aggregate_repeated_calls  # noqa: PLC0415  # an extra

    root = aggregate_repeated_calls(session.root_frame(), {})
    total = root.time if root else 0.0
    found = list(boxes(root, least=total * LEAST / WIDTH)) if root and total else []
    height = (max((box.depth for box in found), default=0) + 1) * ROW + 2 * MARGIN
    title = f"{session.duration:.1f} s, {session.sample_count} samples, {session.cpu_time:.1f} s of CPU time"
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            'font-family="monospace" font-size="11">',
            f'<rect width="{WIDTH}" height="{height}" fill="#fffdf7"/>',
            f'<text x="6" y="16">{escape(title)}</text>',
            *(_drawn(box, WIDTH / total, height - MARGIN, total) for box in found),
            "</svg>\n",
        ]
    )


def boxes(frame: Frame, *, start: float = 0.0, depth: int = 0, least: float = 0.0) -> Iterator[Box]:
    """A frame and what it called, side by side, the largest first; those below `least` seconds are left out."""
    name = f"{frame.class_name}.{frame.function}" if frame.class_name else frame.function
    line = f":{frame.line_no}" if frame.line_no else ""
    yield Box(name, f"{frame.file_path_short or ''}{line}", start, frame.time, depth)
    for child in sorted(frame.children, key=lambda child: child.time, reverse=True):
        if child.time >= least and not child.is_synthetic:
            yield from boxes(child, start=start, depth=depth + 1, least=least)
        start += child.time


def _drawn(box: Box, scale: float, floor: int, total: float) -> str:
    x, width, y = box.start * scale, box.time * scale, floor - (box.depth + 1) * ROW
    letters = int((width - 6) / LETTER)
    label = box.name if len(box.name) <= letters else box.name[: letters - 1] + "…" if letters > 2 else ""
    tip = f"{box.name} {box.where}\n{box.time:.3f} s, {box.time / total:.1%}"
    drawn = (
        f'<rect x="{x:.1f}" y="{y}" width="{max(width - 0.5, LEAST):.1f}" height="{ROW - 1}" fill="{_colour(box)}"/>'
    )
    text = f'<text x="{x + 3:.1f}" y="{y + 13}">{escape(label)}</text>' if label else ""
    return f"<g><title>{escape(tip)}</title>{drawn}{text}</g>"


def _colour(box: Box) -> str:
    if box.where.startswith(PACKAGES):
        return OURS
    return BUILT_IN if box.where.startswith("<built-in>") else OTHERS
