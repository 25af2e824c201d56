"""Fusing rankings: pure functions, each with its paper."""

import math
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import chain

from retrieval.index import Scored

# The paper's constant. Ranks count from 1 here; Qdrant counts from 0, so its `k=61` is this `k=60`.
RRF_K = 60
# How many of a ranking's best scores its mean and deviation are taken from, however deep it is.
DBSF_DEPTH = 100
_DEVIATIONS = 3.0


class Fusion(StrEnum):
    """How two rankings become one."""

    RRF = "rrf"
    DBSF = "dbsf"


def fuse(by_bm25: Sequence[Scored], by_dense: Sequence[Scored], how: Fusion) -> list[tuple[str, float]]:
    """Ids with their fused scores, best first; where one retriever found nothing, the other's own order and scores."""
    if not by_dense or not by_bm25:
        return [(hit.id, hit.score) for hit in (*by_bm25, *by_dense)]
    if how is Fusion.RRF:
        return reciprocal_rank_fusion([[hit.id for hit in by_bm25], [hit.id for hit in by_dense]])
    return distribution_based_score_fusion(by_bm25, by_dense)


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]], *, k: int = RRF_K) -> list[tuple[str, float]]:
    """Fuse rankings of ids, best first; ties break by id, so results repeat.

    score(d) = sum over rankings of 1 / (k + rank(d)), ranks from 1; an absent document adds nothing.
    Source: Cormack, Clarke & Buettcher, SIGIR 2009 (k = 60).
    """
    return _summed({i: 1.0 / (k + rank) for rank, i in enumerate(ranking, start=1)} for ranking in rankings)


def distribution_based_score_fusion(
    by_bm25: Sequence[Scored], by_dense: Sequence[Scored], *, depth: int = DBSF_DEPTH
) -> list[tuple[str, float]]:
    """Fuse by scores, each measured against the mean and deviation of its own ranking; ties break by id.

    score(d) = sum over rankings of (s(d) - (m - 3 sd)) / 6 sd; an absent document adds nothing. m and sd are of the
    best `depth` scores. BM25 finds only what shares a word with the query: where it found fewer than the other, the
    rest has the BM25 score 0 and counts as that. Without this the few it found would be measured against each other.
    Source: Mazzeschi, "Distribution-Based Score Fusion (DBSF)", 2023, as Qdrant has it but for the zeros.
    """
    unmatched = max(0, min(len(by_dense), depth) - len(by_bm25))
    return _summed([_normalized(by_bm25, depth, zeros=unmatched), _normalized(by_dense, depth, zeros=0)])


def _normalized(ranking: Sequence[Scored], depth: int, *, zeros: int) -> dict[str, float]:
    scores = [*(hit.score for hit in ranking[:depth]), *(0.0,) * zeros]
    mean = math.fsum(scores) / len(scores)
    variance = math.fsum((score - mean) ** 2 for score in scores) / max(1, len(scores) - 1)
    width = 2 * _DEVIATIONS * math.sqrt(variance)
    if not width:  # all alike: in the middle
        return {hit.id: 0.5 for hit in ranking}
    return {hit.id: (hit.score - mean) / width + 0.5 for hit in ranking}


def _summed(scored: Iterable[Mapping[str, float]]) -> list[tuple[str, float]]:
    scores: dict[str, float] = {}
    for identifier, score in chain.from_iterable(ranking.items() for ranking in scored):
        scores[identifier] = scores.get(identifier, 0.0) + score
    return sorted(scores.items(), key=lambda item: (-item[1], item[0]))
