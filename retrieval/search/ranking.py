"""Rank chunks by a query's sparse and dense vectors: prefetch, fusion, feedback and diversity. Each stage is timed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from retrieval.encoders.port import DenseVector
from retrieval.index.port import IndexReader, ScoredChunk, SearchScope, SparseVector
from retrieval.search.fusion import fuse_rankings, reciprocal_rank_fusion
from retrieval.search.requests import Fusion


class Stopwatch:
    """A stopwatch in milliseconds. A lap is the time since the previous lap; laps of the same stage are added up."""

    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def record_lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = round(self._laps.get(stage, 0.0) + (now - self._last) * 1000, 3)
        self._last = now

    def get_laps(self) -> dict[str, float]:
        return {**self._laps, "total": round((self._last - self._begun) * 1000, 3)}


# The weight beta of the relevant passage in Rocchio's formula. On four collections, nDCG@10 hardly changes for weights
# from 0.3 to 0.7, and it is lower with more than one relevant passage.
ROCCHIO_BETA = 0.5
# Number of top scores to exclude when scores are scaled after relevance feedback. The passage towards which the query
# was moved, and its near duplicates, score far above the other passages. This "echo" says nothing about the other
# passages.
ECHO_COUNT = 3


def apply_rocchio_feedback(
    query_vector: DenseVector, relevant_vector: DenseVector, *, beta: float = ROCCHIO_BETA
) -> DenseVector:
    """Move a query vector towards a vector that is assumed to be relevant: q + beta * d, scaled to unit length.

    Both vectors must have length 1.

    Sources: Rocchio, in The SMART Retrieval System, 1971; with dense vectors Li et al., "Pseudo Relevance Feedback with
    Deep Language Models and Dense Retrievers", ACM TOIS 41(3), 2023.
    """
    moved: DenseVector = query_vector + np.float32(beta) * relevant_vector
    length = np.linalg.norm(moved)
    return moved / length if length else query_vector


def maximal_marginal_relevance(
    relevance_scores: Sequence[float], vectors: DenseVector, *, diversity: float
) -> list[int]:
    """Return the candidates' positions, ordered so that each is relevant and differs from those before it.

    next = argmax of (1 - diversity) * relevance - diversity * (highest cosine with one chosen before), with relevance
    scaled to [0, 1] over the candidates. `vectors` has one row for each candidate, of length 1 or all zeros. Source:
    Carbonell & Goldstein, SIGIR 1998; their lambda is 1 - diversity.
    """
    scores = np.asarray(relevance_scores, np.float64)
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


# Number of candidates from each retriever. More candidates do not improve fused nDCG, and make searches slower.
CANDIDATES = 100


@dataclass(frozen=True)
class Ranking:
    """Chunk ids with their scores, best first, and each retriever's own ranking.

    `by_feedback` is the dense ranking after feedback, `by_document` the ranking by the documents' cards, and
    `by_rerank` the reranker's; each is empty if unused. With several queries, `by_query` has the ranking of each query,
    and the retrievers' rankings are the first query's. `documents` maps chunks to their documents if the documents'
    cards changed the ranking, and is empty otherwise.
    """

    best: list[tuple[str, float]]
    by_bm25: Sequence[ScoredChunk]
    by_dense: Sequence[ScoredChunk]
    by_feedback: Sequence[ScoredChunk] = ()
    by_document: Sequence[ScoredChunk] = ()
    by_rerank: Sequence[ScoredChunk] = ()
    by_query: Sequence[Sequence[ScoredChunk]] = ()
    documents: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class QueryVectors:
    """A query and its vectors. A vector is None if its retriever is not used."""

    text: str
    sparse: SparseVector | None
    dense: DenseVector | None


def rank_chunks(
    index: IndexReader,
    scope: SearchScope,
    *,
    sparse_vector: SparseVector | None,
    dense_vector: DenseVector | None,
    depth: int,
    fusion: Fusion,
    use_feedback: bool,
    cosine_floor: float,
    stopwatch: Stopwatch,
    lift: Callable[[Ranking], Ranking] | None = None,
) -> Ranking:
    """Rank the chunks in a scope by the given vectors. Feedback requires results from both retrievers.

    `cosine_floor` is the encoder's cosine floor, which the fusion uses. At any `depth`, the best `CANDIDATES` of each
    retriever are ranked first, and only these are passed to `lift`, so that the first hits do not depend on the number
    of requested hits. Deeper candidates follow.
    """
    by_bm25, by_dense = index.search(scope, sparse_vector=sparse_vector, dense_vector=dense_vector, limit=depth)
    stopwatch.record_lap("engine")
    head = Ranking(
        fuse_rankings(by_bm25[:CANDIDATES], by_dense[:CANDIDATES], fusion, cosine_floor=cosine_floor), by_bm25, by_dense
    )
    stopwatch.record_lap("fuse")
    if use_feedback and dense_vector is not None and by_bm25 and by_dense:
        head = _apply_feedback(index, dense_vector, head, fusion, cosine_floor)
        stopwatch.record_lap("feedback")
    if lift is not None and by_bm25 and by_dense:
        head = lift(head)
        stopwatch.record_lap("documents")
    if max(len(by_bm25), len(by_dense)) <= CANDIDATES:
        return head
    ranking = _append_deeper_candidates(head, fuse_rankings(by_bm25, by_dense, fusion, cosine_floor=cosine_floor))
    stopwatch.record_lap("fuse")
    return ranking


def rank_chunks_for_queries(
    index: IndexReader,
    scope: SearchScope,
    queries: Sequence[QueryVectors],
    *,
    depth: int,
    fusion: Fusion,
    use_feedback: bool,
    cosine_floor: float,
    stopwatch: Stopwatch,
    lift: Callable[[str, Ranking], Ranking] | None = None,
) -> Ranking:
    """Rank the chunks for each query, and fuse the rankings.

    Rankings of several queries are fused by ranks, because their scores have no common scale. `lift` is called with the
    text of each query and the ranking of its first candidates, if both retrievers found some.
    """
    rankings = [
        rank_chunks(
            index,
            scope,
            sparse_vector=query.sparse,
            dense_vector=query.dense,
            depth=depth,
            fusion=fusion,
            use_feedback=use_feedback,
            cosine_floor=cosine_floor,
            stopwatch=stopwatch,
            lift=partial(lift, query.text) if lift is not None else None,
        )
        for query in queries
    ]
    if len(rankings) == 1:
        return rankings[0]
    best = reciprocal_rank_fusion([[identifier for identifier, _ in ranking.best] for ranking in rankings])
    by_query = [[ScoredChunk(*each) for each in ranking.best] for ranking in rankings]
    documents = {chunk: document for ranking in rankings for chunk, document in ranking.documents.items()}
    stopwatch.record_lap("fuse")
    return replace(rankings[0], best=best, by_query=by_query, documents=documents)


def _apply_feedback(
    index: IndexReader, dense_vector: DenseVector, ranking: Ranking, fusion: Fusion, cosine_floor: float
) -> Ranking:
    """Move the query vector towards its best candidate, and rank the candidates again by the new vector.

    Only the candidates are compared, not the whole index: a second prefetch would add only 0.001 to nDCG@10 and take as
    long as the first. All candidates are compared, because fusion compares their scores.
    """
    candidates = [identifier for identifier, _ in ranking.best]
    relevant = index.load_dense_vectors(candidates[:1])
    if not relevant:
        return ranking
    by_feedback = index.score_chunks_by_cosine(
        apply_rocchio_feedback(dense_vector, relevant[candidates[0]]), candidates
    )
    best = fuse_rankings(
        ranking.by_bm25[:CANDIDATES], by_feedback, fusion, cosine_floor=cosine_floor, echo_count=ECHO_COUNT
    )
    return replace(ranking, best=best, by_feedback=by_feedback)


def _append_deeper_candidates(ranking: Ranking, candidates: Sequence[tuple[str, float]]) -> Ranking:
    """Append the chunks that only `candidates` contains to `ranking`, in order.

    The scores of appended chunks are capped at the lowest score in `ranking`.
    """
    known = {identifier for identifier, _ in ranking.best}
    lowest = ranking.best[-1][1]
    deeper = [(identifier, min(score, lowest)) for identifier, score in candidates if identifier not in known]
    return replace(ranking, best=ranking.best + deeper)


def diversify_ranking(index: IndexReader, ranking: Ranking, *, diversity: float, chunk_count: int) -> Ranking:
    """Reorder the best `chunk_count` chunks so that each differs from the chunks before it.

    The remaining chunks follow unchanged. Scores do not change, so they may increase from one hit to the next.
    """
    head = ranking.best[:chunk_count]
    vectors = index.load_dense_vectors([identifier for identifier, _ in head])
    if not vectors:
        return ranking
    nothing = np.zeros_like(next(iter(vectors.values())))  # A passage without a vector counts as similar to no passage.
    rows = np.stack([vectors.get(identifier, nothing) for identifier, _ in head])
    order = maximal_marginal_relevance([score for _, score in head], rows, diversity=diversity)
    return replace(ranking, best=[head[position] for position in order] + ranking.best[chunk_count:])
