"""Rank fusion as pure functions. Each function's docstring names its source."""

from collections.abc import Sequence

from retrieval.index.port import ScoredChunk, sort_by_score
from retrieval.search.requests import Fusion

# The constant k of reciprocal rank fusion, as in the paper, for ranks that count from 1. Qdrant counts ranks from 0, so
# its `k=61` equals `k=60` here.
RRF_K = 60
# The dense retriever's weight in a convex combination. The paper finds 0.8 for most of its collections. On half of the
# questions of five collections (tests/eval), 0.65 to 0.75 is best for questions about facts, and 0.75 to 0.8 for
# questions about topics.
DENSE_WEIGHT = 0.75


def fuse_rankings(
    bm25_hits: Sequence[ScoredChunk],
    dense_hits: Sequence[ScoredChunk],
    method: Fusion,
    *,
    cosine_floor: float = -1.0,
    echo_count: int = 0,
) -> list[tuple[str, float]]:
    """Fuse two rankings into one list of ids with scores, best first.

    If one ranking is empty, returns the other one with its own scores. `cosine_floor` and `echo_count` apply only to
    the convex combination.
    """
    if not dense_hits or not bm25_hits:
        return [(hit.id, hit.score) for hit in (*bm25_hits, *dense_hits)]
    if method is Fusion.RRF:
        return reciprocal_rank_fusion([[hit.id for hit in bm25_hits], [hit.id for hit in dense_hits]])
    return combine_scores(bm25_hits, dense_hits, cosine_floor=cosine_floor, echo_count=echo_count)


def reciprocal_rank_fusion(rankings: Sequence[Sequence[str]], *, k: int = RRF_K) -> list[tuple[str, float]]:
    """Fuse rankings of ids, best first. Ties are broken by id, so that results are reproducible.

    score(d) = sum over rankings of 1 / (k + rank(d)), with ranks from 1. A ranking that does not contain the document
    adds nothing.
    Source: Cormack, Clarke & Buettcher, SIGIR 2009 (k = 60).
    """
    scores: dict[str, float] = {}
    for ranking in rankings:
        for rank, identifier in enumerate(ranking, start=1):
            scores[identifier] = scores.get(identifier, 0.0) + 1.0 / (k + rank)
    return sort_by_score(scores.items())


def combine_scores(
    bm25_hits: Sequence[ScoredChunk],
    dense_hits: Sequence[ScoredChunk],
    *,
    dense_weight: float = DENSE_WEIGHT,
    cosine_floor: float = -1.0,
    echo_count: int = 0,
) -> list[tuple[str, float]]:
    """Fuse two rankings by their scaled scores. Ties are broken by id.

    Each score is scaled from its retriever's minimum possible score to the retriever's highest score:

    score(d) = w * (cos(d) - floor) / (max cos - floor) + (1 - w) * bm25(d) / max bm25. `cosine_floor` is the encoder's
    cosine floor. A chunk absent from a ranking gets the score of its last chunk. But if BM25 found fewer chunks than
    the dense retriever, it found every chunk that shares a word with the query, and an absent chunk gets 0.
    The maximum cosine skips the first `echo_count` results, but at most a quarter of them.
    Source: Bruch, Gai & Ingber, "An Analysis of Fusion Functions for Hybrid Retrieval", TOIS 42(1), 2023 (TM2C2).
    """
    best_cosine = dense_hits[min(echo_count, len(dense_hits) // 4)].score
    best_bm25 = bm25_hits[0].score
    bm25 = _scale_scores(bm25_hits, (1 - dense_weight) / best_bm25 if best_bm25 > 0 else 0.0, 0.0)
    dense = _scale_scores(
        dense_hits, dense_weight / (best_cosine - cosine_floor) if best_cosine > cosine_floor else 0.0, cosine_floor
    )
    no_bm25 = 0.0 if len(bm25_hits) < len(dense_hits) else bm25[bm25_hits[-1].id]
    no_dense = dense[dense_hits[-1].id]
    return sort_by_score([(i, bm25.get(i, no_bm25) + dense.get(i, no_dense)) for i in bm25 | dense])


def _scale_scores(hits: Sequence[ScoredChunk], factor: float, origin: float) -> dict[str, float]:
    return {i: (score - origin) * factor for i, score in hits}
