"""From samples to figures: median and spread per peer, and the ratio of one peer to the others."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

Sample = Mapping[str, float]  # metric name -> value, of one measurement


@dataclass(frozen=True, slots=True)
class Metric:
    """What a case yields: its key in a sample, its unit as printed, and which way is better.

    A proxy-only metric has no value where there is no proxy process.
    """

    name: str
    unit: str
    higher_is_better: bool = False


@dataclass(frozen=True, slots=True)
class Figure:
    """Median, least and greatest of the samples."""

    median: float
    least: float
    greatest: float
    samples: tuple[float, ...]


def figure(samples: Sequence[float]) -> Figure:
    """The Figure of one or more samples."""
    return Figure(statistics.median(samples), min(samples), max(samples), tuple(samples))


def figures(metric: str, rounds: Mapping[str, Sequence[Sample]]) -> dict[str, Figure]:
    """Peer -> Figure of a metric; peers that have no value for it are left out."""
    found = {}
    for peer, samples in rounds.items():
        values = [sample[metric] for sample in samples if metric in sample]
        if values:
            found[peer] = figure(values)
    return found


def ratios(subject: str, of_peers: Mapping[str, Figure]) -> dict[str, float]:
    """Peer -> subject's value divided by the peer's: the median of the rounds' ratios.

    The two samples of one round were taken seconds apart, so what the machine does meanwhile hits both; the medians of
    whole runs divided by each other would be the less steady figure.
    """
    if subject not in of_peers:
        return {}
    own = of_peers[subject].samples
    found = {}
    for peer, other in of_peers.items():
        pairs = [a / b for a, b in zip(own, other.samples, strict=True) if b]
        if peer != subject and pairs:
            found[peer] = statistics.median(pairs)
    return found


@dataclass(frozen=True, slots=True)
class Measured:
    """One metric of a case: peer -> Figure, and peer -> the subject's ratio to it."""

    metric: Metric
    figures: dict[str, Figure]
    ratios: dict[str, float]


@dataclass(frozen=True, slots=True)
class Result:
    """All metrics of a case."""

    case: str
    title: str
    placement: str
    measured: tuple[Measured, ...]


def summarise(metrics: Sequence[Metric], rounds: Mapping[str, Sequence[Sample]], subject: str) -> tuple[Measured, ...]:
    """The metrics in their order, with the subject's ratio to every other peer."""
    found = []
    for metric in metrics:
        of_peers = figures(metric.name, rounds)
        found.append(Measured(metric, of_peers, ratios(subject, of_peers)))
    return tuple(found)
