"""Intervals of 95 % for a mean of few scores."""

import math
from collections.abc import Sequence

from retrieval.evaluation.metrics import bootstrap_interval

_Z = 1.959964


def interval(scores: Sequence[float]) -> tuple[float, float]:
    """Wilson's where every score is 0 or 1, and the bootstrap's otherwise; (0, 1) of no score at all."""
    if not scores:
        return 0.0, 1.0
    if all(score in (0.0, 1.0) for score in scores):
        return wilson(int(sum(scores)), len(scores))
    return bootstrap_interval(scores)


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """Of a proportion. Source: Wilson, JASA 22 (1927)."""
    share, squared = successes / trials, _Z**2
    center = (share + squared / (2 * trials)) / (1 + squared / trials)
    half = _Z / (1 + squared / trials) * math.sqrt(share * (1 - share) / trials + squared / (4 * trials**2))
    return max(0.0, center - half), min(1.0, center + half)
