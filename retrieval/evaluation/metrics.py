"""Retrieval metrics, as pure functions of one query's ranking and judgements.

A ranking is a list of distinct document ids, best first. A repeated id raises `ValueError`, because it would count
twice. Judgements are grades by document id; a positive grade means relevant, and unjudged documents are not relevant.
The functions agree with trec_eval, and therefore with BEIR, which uses it; each docstring names its trec_eval measure.
A query without a relevant document scores 0. Exclude queries without judgements from averages.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np

Grades = Mapping[str, int]


def ndcg_at_k(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return the normalized discounted cumulative gain of the first k documents, in [0, 1] (trec_eval's ndcg_cut_k).

    DCG@k = sum over ranks i = 1..k of grade(i) / log2(i + 1): the gain is linear, not 2^grade - 1. nDCG@k divides it by
    the DCG@k of the ideal ranking: all positive judgements, highest first, found or not. Source: Järvelin & Kekäläinen,
    TOIS 20(4), 2002. The paper's discount log_b(i) starts at rank b. This function uses trec_eval's
    discount log2(i + 1), which starts at rank 2, as BEIR's tables do.
    """
    ideal = sorted((grade for grade in grades.values() if grade > 0), reverse=True)
    if not ideal:
        return 0.0
    gains = [max(grades.get(document, 0), 0) for document in _select_top_documents(ranking, k)]
    return _compute_dcg(gains) / _compute_dcg(ideal[:k])


def recall_at_k(ranking: Sequence[str], grades: Grades, k: int) -> float:
    """Return the fraction of all relevant documents that are among the first k (trec_eval's recall_k)."""
    relevant = {document for document, grade in grades.items() if grade > 0}
    if not relevant:
        return 0.0
    return len(relevant.intersection(_select_top_documents(ranking, k))) / len(relevant)


def reciprocal_rank(ranking: Sequence[str], grades: Grades, k: int | None = None) -> float:
    """Return 1 / the rank (from 1) of the first relevant document, or 0 if none is among the first k.

    Without k this is trec_eval's recip_rank; with k = 10, its mean is the MRR@10 of MS MARCO.
    Source: Voorhees, TREC-8 Question Answering Track Report, 1999.
    """
    for rank, document in enumerate(_select_top_documents(ranking, k), start=1):
        if grades.get(document, 0) > 0:
            return 1.0 / rank
    return 0.0


def compute_mean(values: Sequence[float]) -> float:
    """Return the mean over queries. Raises `ValueError` if there are no queries."""
    if not values:
        raise ValueError("no queries to average over")
    return math.fsum(values) / len(values)


def compute_bootstrap_interval(
    values: Sequence[float], *, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> tuple[float, float]:
    """Compute the percentile bootstrap confidence interval of the mean over queries.

    `values` contains one value per query. Equal seeds give equal intervals. To compare two systems, pass the difference
    for each query: the systems differ if the interval excludes 0. Overlapping intervals of two systems do not show that
    the systems are equal. Sources: Efron & Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13; Sakai, SIGIR
    2006.
    """
    if not values:
        raise ValueError("no queries to average over")
    if not 0 < confidence < 1:
        raise ValueError(f"confidence must be between 0 and 1, not {confidence}")
    sample = np.asarray(values, dtype=np.float64)
    generator = np.random.default_rng(seed)
    means = [generator.choice(sample, sample.size).mean() for _ in range(resamples)]
    tail = (1 - confidence) / 2
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)


def _select_top_documents(ranking: Sequence[str], k: int | None) -> Sequence[str]:
    if k is not None and k < 1:
        raise ValueError(f"k must be at least 1, not {k}")
    first = ranking[:k]
    if len(set(first)) != len(first):
        raise ValueError("the ranking contains a document twice")
    return first


def _compute_dcg(gains: Sequence[int]) -> float:
    return math.fsum(gain / math.log2(rank + 1) for rank, gain in enumerate(gains, start=1))
