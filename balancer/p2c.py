"""The power of two choices (Mitzenmacher, 1996)."""

from bisect import bisect
from collections.abc import Sequence
from random import random

from balancer.algorithm import Algorithm
from balancer.backend import Backend
from balancer.weight import cumulative_weights


class PowerOfTwoChoices(Algorithm):
    """Of two different backends drawn by weight, the one with fewer open connections for its weight.

    The first drawn wins a tie, so that an idle pool is used by weight, and a loaded one evens out. Weights of 0 are
    as in `weight`: equal odds when all are, else not drawn while another is left.
    """

    weighted = True
    shares = True
    draws = True

    def rebuild(self, backends: Sequence[Backend]) -> None:
        super().rebuild(backends)
        self._sums = cumulative_weights(backends)
        self._total = self._sums[-1]
        self._last = len(backends) - 1

    def choose(self, client: str) -> Backend:
        sums, total, last = self._sums, self._total, self._last
        one = bisect(sums, random() * total, 0, last)
        below = sums[one - 1] if one else 0.0
        weight = sums[one] - below
        rest = total - weight
        if not rest:
            return self.backends[one]
        point = random() * rest  # on the line of weights with those of the first cut out
        if point >= below:
            point += weight
        two = bisect(sums, point, 0, last)
        first, second = self.backends[one], self.backends[two]
        other_weight = sums[two] - sums[two - 1] if two else sums[0]
        if self.values[second.row] * weight < self.values[first.row] * other_weight:
            return second
        return first
