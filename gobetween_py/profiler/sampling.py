"""Where the time of the relaying thread goes: its stack, looked at up to a thousand times a second.

pyinstrument looks when a function is called or returns, C functions too, so that system calls are told apart. While it
does, a connection takes about a fifth more CPU time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from gobetween_py.profiler import flamegraph

if TYPE_CHECKING:
    from pyinstrument.session import Session

INTERVAL = 0.001
"""Seconds between two looks at least."""
SAMPLES = 10_000
"""Looks at most: a longer profile looks less often, because a picture of more would take seconds to draw."""


class NotInstalledError(Exception):
    """pyinstrument is missing."""

    def __init__(self) -> None:
        super().__init__("profiles need pyinstrument: pip install 'pygobetween[profiler]'")


async def sample(seconds: float) -> Session:
    """Sample this thread, which is that of the event loop, for so long.

    Raises:
        NotInstalledError: pyinstrument is missing.
    """
    try:
        from pyinstrument import Profiler  # noqa: PLC0415  # an extra, and needed only when somebody asks
    except ImportError:
        raise NotInstalledError from None
    profiler = Profiler(interval=max(INTERVAL, seconds / SAMPLES), async_mode="disabled")
    profiler.start()
    try:
        await asyncio.sleep(seconds)
    finally:
        session = profiler.stop()
    return session


def html(session: Session) -> str:
    """A page of pyinstrument's to click through; it needs nothing from elsewhere."""
    from pyinstrument.renderers import HTMLRenderer  # noqa: PLC0415

    page: str = HTMLRenderer().render(session)
    return page


def speedscope(session: Session) -> str:
    """JSON for https://www.speedscope.app, in the order of time."""
    from pyinstrument.renderers import SpeedscopeRenderer  # noqa: PLC0415

    profile: str = SpeedscopeRenderer(show_all=True, timeline=True).render(session)
    return profile


def text(session: Session) -> str:
    """A tree of lines."""
    from pyinstrument.renderers import ConsoleRenderer  # noqa: PLC0415

    return ConsoleRenderer(show_all=True, unicode=True).render(session)


FORMATS: dict[str, tuple[str, Callable[[Session], str]]] = {
    "flamegraph": ("image/svg+xml", flamegraph.svg),
    "html": ("text/html", html),
    "speedscope": ("application/json", speedscope),
    "text": ("text/plain", text),
}
"""What a profile can be had as: content type, and what makes it."""
