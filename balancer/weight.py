"""Random by weight, as RFC 2782 describes it for SRV records."""

from bisect import bisect
from collections.abc import Sequence
from itertools import accumulate
from random import random

from balancer.algorithm import Algorithm
from balancer.backend import Backend


class Weight(Algorithm):
    """A backend's odds are its weight over the sum of weights of the lowest-numbered priority that has a backend to
    give.

    When all weights are 0 the odds are equal; a backend of weight 0 beside others is picked only when no other is
    left.
    """

    tiered = True
    weighted = True
    shares = True
    draws = True

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        self._sums = cumulative_weights(backends)
        self._total = self._sums[-1]
        self._last = len(backends) - 1

    def choose(self, client: str) -> Backend:
        return self.backends[bisect(self._sums, random() * self._total, 0, self._last)]


def effective_weights(backends: Sequence[Backend]) -> list[int]:
    """The weights, which are not negative; ones when every weight is 0."""
    weights = [backend.spec.weight for backend in backends]
    return weights if any(weights) else [1] * len(weights)


def cumulative_weights(backends: Sequence[Backend]) -> list[float]:
    """Running sums of the effective weights, each times the backend's share.

    Floats are exact up to 2**53, and quicker for bisect to compare than integers.
    """
    weights = effective_weights(backends)
    return list(accumulate(weight * backend.share for weight, backend in zip(weights, backends, strict=True)))
