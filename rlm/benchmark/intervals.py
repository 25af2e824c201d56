"""Intervals of 95 % for a mean of few scores."""

import math
from collections.abc import Sequence

from rlm.benchmark.draws import Draws

_Z = 1.959964
_RESAMPLES = 2_000


def interval(scores: Sequence[float]) -> tuple[float, float]:
    """Wilson's where every score is 0 or 1, and the bootstrap's otherwise; (0, 1) of no score at all."""
    if not scores:
        return 0.0, 1.0
    if all(score in (0.0, 1.0) for score in scores):
        return wilson(int(sum(scores)), len(scores))
    return bootstrap_mean(scores)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Of a proportion. Source: Wilson, JASA 22 (1927)."""
    share, squared = successes / trials, _Z**2
    center = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z / (1 + squared / trials) * math.sqrt(share * (1 - share) / trials + squared / (4 * trials**2))
    return max(0.0, center - half), min(1.0, center + half)


def bootstrap_mean(scores: Sequence[float], *, seed: int = 0) -> tuple[float, float]:
    """The middle 95 % of means of resamples; equal scores give equal bounds."""
    draws = Draws("bootstrap", seed)
    count = len(scores)
    means = sorted(sum(scores[draws.below(count)] for _ in range(count)) / count for _ in range(_RESAMPLES))
    return means[int(0.025 * _RESAMPLES)], means[int(0.975 * _RESAMPLES) - 1]
