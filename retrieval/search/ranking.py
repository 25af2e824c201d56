"""Rank chunks by a query's two vectors: prefetch, fusion, feedback, diversity."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from retrieval.clock import Clock
from retrieval.diversity import maximal_marginal_relevance
from retrieval.encoders.port import DenseVector
from retrieval.feedback import ECHOES, rocchio
from retrieval.index.port import IndexReader, Scope, Scored, SparseVector
from retrieval.search.fusion import fuse, reciprocal_rank_fusion
from retrieval.search.requests import Fusion

# The number of each retriever's best that are ranked: fused nDCG is flat from here on, and longer lists cost more.
CANDIDATES = 100


@dataclass(frozen=True)
class Ranking:
    """Chunk ids with their scores, best first, and each retriever's ranking of them.

    `by_feedback` is the dense ranking by the query after feedback, and `by_rerank` a reranker's ranking; each is empty
    if there was none. With several queries, `by_query` has the ranking of each, and the other fields the first query's.
    """

    best: list[tuple[str, float]]
    by_bm25: Sequence[Scored]
    by_dense: Sequence[Scored]
    by_feedback: Sequence[Scored] = ()
    by_rerank: Sequence[Scored] = ()
    by_query: Sequence[Sequence[Scored]] = ()


@dataclass(frozen=True)
class QueryVectors:
    """A query as the retrievers take it; None for a retriever that takes no part."""

    sparse: SparseVector | None
    dense: DenseVector | None


def rank(
    index: IndexReader,
    scope: Scope,
    *,
    sparse: SparseVector | None,
    dense: DenseVector | None,
    depth: int,
    fusion: Fusion,
    feedback: bool,
    floor: float,
    clock: Clock,
) -> Ranking:
    """Rank the chunks of a scope for the given vectors. Feedback needs results from both retrievers.

    `floor` is the encoder's least cosine, for the fusion.

    The best `CANDIDATES` of each retriever are ranked, whatever the depth: the first hits do not depend on how many are
    asked for. Deeper candidates follow after them.
    """
    by_bm25, by_dense = index.search(scope, sparse=sparse, dense=dense, limit=depth)
    clock.lap("engine")
    head = Ranking(fuse(by_bm25[:CANDIDATES], by_dense[:CANDIDATES], fusion, floor=floor), by_bm25, by_dense)
    clock.lap("fuse")
    if feedback and dense is not None and by_bm25 and by_dense:
        head = _with_feedback(index, dense, head, fusion, floor)
        clock.lap("feedback")
    if max(len(by_bm25), len(by_dense)) <= CANDIDATES:
        return head
    ranking = _followed(head, fuse(by_bm25, by_dense, fusion, floor=floor))
    clock.lap("fuse")
    return ranking


def rank_all(
    index: IndexReader,
    scope: Scope,
    queries: Sequence[QueryVectors],
    *,
    depth: int,
    fusion: Fusion,
    feedback: bool,
    floor: float,
    clock: Clock,
) -> Ranking:
    """Rank as `rank` does; rankings of several queries are fused by ranks, since their scores have no common scale."""
    rankings = [
        rank(
            index,
            scope,
            sparse=query.sparse,
            dense=query.dense,
            depth=depth,
            fusion=fusion,
            feedback=feedback,
            floor=floor,
            clock=clock,
        )
        for query in queries
    ]
    if len(rankings) == 1:
        return rankings[0]
    best = reciprocal_rank_fusion([[identifier for identifier, _ in ranking.best] for ranking in rankings])
    by_query = [[Scored(*each) for each in ranking.best] for ranking in rankings]
    clock.lap("fuse")
    return replace(rankings[0], best=best, by_query=by_query)


def _with_feedback(index: IndexReader, dense: DenseVector, ranking: Ranking, fusion: Fusion, floor: float) -> Ranking:
    """Compare the candidates with the query again, after the best of them has moved the query.

    Only the candidates are compared, not the whole index: measured, a second prefetch adds 0.001 of nDCG@10 and costs
    as much as the first. All candidates are compared, because fusion compares their scores.
    """
    candidates = [identifier for identifier, _ in ranking.best]
    relevant = index.dense(candidates[:1])
    if not relevant:
        return ranking
    by_feedback = index.compare(rocchio(dense, relevant[candidates[0]]), candidates)
    best = fuse(ranking.by_bm25[:CANDIDATES], by_feedback, fusion, floor=floor, echoes=ECHOES)
    return replace(ranking, best=best, by_feedback=by_feedback)


def _followed(head: Ranking, whole: Sequence[tuple[str, float]]) -> Ranking:
    """Append to the head the chunks that only `whole` has, in its order, with scores no higher than the head's."""
    known = {identifier for identifier, _ in head.best}
    lowest = head.best[-1][1]
    deeper = [(identifier, min(score, lowest)) for identifier, score in whole if identifier not in known]
    return replace(head, best=head.best + deeper)


def diversify(index: IndexReader, ranking: Ranking, *, diversity: float, count: int) -> Ranking:
    """Reorder the best `count` so that each is unlike those before it; the rest follows as it was.

    Scores are not changed, so they no longer fall from hit to hit.
    """
    head = ranking.best[:count]
    vectors = index.dense([identifier for identifier, _ in head])
    if not vectors:
        return ranking
    nothing = np.zeros_like(next(iter(vectors.values())))  # a passage without a vector is like no other
    rows = np.stack([vectors.get(identifier, nothing) for identifier, _ in head])
    order = maximal_marginal_relevance([score for _, score in head], rows, diversity=diversity)
    return replace(ranking, best=[head[position] for position in order] + ranking.best[count:])
