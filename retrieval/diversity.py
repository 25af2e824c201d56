"""Reorder hits so that they differ from each other."""

from collections.abc import Sequence

import numpy as np

from retrieval.encoders.port import DenseVector


def maximal_marginal_relevance(relevance: Sequence[float], vectors: DenseVector, *, diversity: float) -> list[int]:
    """Return every position, reordered: each next one is relevant and unlike those before it.

    next = argmax of (1 - diversity) * relevance - diversity * (greatest cosine with one chosen before); relevance is
    scaled to [0, 1] over the candidates. `vectors` has one row for each candidate, of length 1 or all zeros.
    Source: Carbonell & Goldstein, SIGIR 1998; their lambda is 1 - diversity.
    """
    scores = np.asarray(relevance, np.float64)
    if not len(scores):
        return []
    scores = (scores - scores.min()) / (np.ptp(scores) or 1.0)
    nearest = np.zeros(len(scores))
    left = np.ones(len(scores), bool)
    order: list[int] = []
    while len(order) < len(scores):
        gain = np.where(left, (1 - diversity) * scores - diversity * nearest, -np.inf)
        best = int(gain.argmax())
        order.append(best)
        left[best] = False
        nearest = np.maximum(nearest, vectors @ vectors[best])
    return order
