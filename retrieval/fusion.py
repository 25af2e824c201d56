"""Rank fusion: pure functions, each with its paper."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from retrieval.index import Scored, best_first

# The paper's constant. Ranks count from 1 here; Qdrant counts from 0, so its `k=61` is this `k=60`.
RRF_K = 60
# The mean and deviation of a ranking are taken from this many of its best scores, however deep the ranking is.
DBSF_DEPTH = 100
_DEVIATIONS = 3.0


class Fusion(StrEnum):
    """The method that makes one ranking of two."""

    RRF = "rrf"
    DBSF = "dbsf"


def fuse(
    by_bm25: Sequence[Scored], by_dense: Sequence[Scored], how: Fusion, *, echoes: int = 0
) -> list[tuple[str, float]]:
    """Return ids with fused scores, best first; if one retriever found nothing, the other's order and scores.

    `echoes` is for DBSF.
    """
    if not by_dense or not by_bm25:
        return [(hit.id, hit.score) for hit in (*by_bm25, *by_dense)]
    if how is Fusion.RRF:
        return reciprocal_rank_fusion([[hit.id for hit in by_bm25], [hit.id for hit in by_dense]])
    return distribution_based_score_fusion(by_bm25, by_dense, echoes=echoes)


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]], *, k: int = RRF_K) -> list[tuple[str, float]]:
    """Fuse rankings of ids, best first; ties break by id, so results repeat.

    score(d) = sum over rankings of 1 / (k + rank(d)), ranks from 1; an absent document adds nothing.
    Source: Cormack, Clarke & Buettcher, SIGIR 2009 (k = 60).
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, identifier in enumerate(ranking, start=1):
            scores[identifier] = scores.get(identifier, 0.0) + 1.0 / (k + rank)
    return best_first(scores.items())


def distribution_based_score_fusion(
    by_bm25: Sequence[Scored], by_dense: Sequence[Scored], *, depth: int = DBSF_DEPTH, echoes: int = 0
) -> list[tuple[str, float]]:
    """Fuse by scores, each measured against the mean and deviation of its own ranking; ties break by id.

    score(d) = sum over rankings of (s(d) - (m - 3 sd)) / 6 sd. m and sd are of the best `depth` scores; the dense
    ranking leaves out its first `echoes`, but a quarter of them at most. BM25 finds only chunks that share a word with
    the query: if it found fewer than the dense retriever, the rest count with a BM25 score of 0, since the few it found
    would otherwise be measured against each other. A chunk absent from a ranking belongs below its end, and counts as
    its last.
    Source: Mazzeschi, "Distribution-Based Score Fusion (DBSF)", 2023. As in Qdrant, no score is cut off; but in Qdrant
    an absent chunk adds nothing, as if it were three deviations below the mean.
    """
    unmatched = max(0, min(len(by_dense), depth) - len(by_bm25))
    lexical = _Scale.of([*(score for _, score in by_bm25[:depth]), *(0.0,) * unmatched])
    semantic = _Scale.of([score for _, score in by_dense[:depth]][min(echoes, len(by_dense) // 4) :])
    bm25, dense = lexical.found(by_bm25), semantic.found(by_dense)
    no_bm25 = lexical.absent(0.0 if unmatched else by_bm25[-1].score)
    no_dense = semantic.absent(by_dense[-1].score)
    return best_first([(i, bm25.get(i, no_bm25) + dense.get(i, no_dense)) for i in bm25 | dense])


@dataclass(frozen=True)
class _Scale:
    """The mean of a ranking's scores, and six of their standard deviations."""

    mean: float
    width: float

    @classmethod
    def of(cls, scores: Sequence[float]) -> "_Scale":
        count = len(scores)
        mean = math.fsum(scores) / count
        return cls(mean, 2 * _DEVIATIONS * math.dist(scores, [mean] * count) / math.sqrt(max(1, count - 1)))

    def found(self, hits: Sequence[Scored]) -> dict[str, float]:
        """Return scaled scores by id; if all scores are equal, each is in the middle."""
        mean, width = self.mean, self.width
        if not width:
            return dict.fromkeys([i for i, _ in hits], 0.5)
        return {i: (score - mean) / width + 0.5 for i, score in hits}

    def absent(self, last: float) -> float:
        """Return the scaled score of absent chunks: that of the ranking's last, or 0 if all scores are equal."""
        return (last - self.mean) / self.width + 0.5 if self.width else 0.0
