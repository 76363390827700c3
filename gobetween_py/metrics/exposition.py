"""Metric families as Prometheus' text format, written by prometheus_client, a piece at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass

from prometheus_client import Metric, generate_latest
from prometheus_client.registry import Collector

from discovery.slices import sliced
from gobetween_py.web import SLICE

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


@dataclass(frozen=True, slots=True)
class _One(Collector):
    """A collector of a single piece, which is what prometheus_client writes."""

    piece: Metric

    def collect(self) -> Iterator[Metric]:
        yield self.piece


async def exposition(pieces: Iterable[Metric]) -> AsyncIterator[bytes]:
    """The text of families, some of them in several pieces; other work of the event loop gets its turns in between."""
    last = ""
    async for piece in sliced(pieces, SLICE):
        text = generate_latest(_One(piece))
        if piece.name == last:  # it goes on: HELP and TYPE stand there already
            text = text.split(b"\n", 2)[2]
        last = piece.name
        yield text
