"""Search: question in, ranked hits with their text out, every stage timed.

query → BM25 and dense prefetch in one engine call, filtered by tenant and active versions → fusion → visibility
checked against the catalog → per-document cap → text.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from ingest.catalog.catalog import Visible
from ingest.texts import Texts
from retrieval.bm25 import SparseEncoder
from retrieval.embedding import Embedder
from retrieval.errors import QueryError
from retrieval.fusion import reciprocal_rank_fusion
from retrieval.index import DenseVector, IndexedChunk, IndexReader, Scope, Scored, SparseVector
from retrieval.passages import Passage

MAX_TOP_K = 200
MAX_QUERY_CHARS = 8_000
# Prefetch depth of each retriever: fused nDCG is flat from 100 on, and each list costs well under a millisecond more.
_CANDIDATES = 100


class Mode(StrEnum):
    """Which retrievers take part."""

    HYBRID = "hybrid"
    BM25 = "bm25"
    DENSE = "dense"


@dataclass(frozen=True)
class SearchRequest:
    """`top_k` hits at most, of which at most `per_document` from one document (None: no cap)."""

    tenant_id: str
    query: str
    mode: Mode = Mode.HYBRID
    top_k: int = 10
    per_document: int | None = None
    collections: tuple[str, ...] = ()
    documents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Why:
    """A retriever's own rank (from 1) and score of a hit; None where it did not find it."""

    rank: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A passage with what found it. `why` is keyed by retriever, `bm25` or `dense`."""

    chunk_id: str
    passage: Passage
    collection: str
    why: Mapping[str, Why]


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first, and milliseconds by stage: `embed`, `engine`, `fuse`, `read`, `total`."""

    hits: tuple[Hit, ...]
    timings_ms: Mapping[str, float] = field(default_factory=dict)


class Visibility(Protocol):
    """What searches ask the catalog."""

    def hidden_versions(self, tenant_id: str) -> list[str]: ...

    def visible(self, tenant_id: str, version_ids: Collection[str]) -> dict[str, Visible]: ...


class Searcher:
    """Searches one index for every tenant; the tenant is part of each request and of every query sent."""

    def __init__(
        self, index: IndexReader, sparse: SparseEncoder, embedder: Embedder, visibility: Visibility, texts: Texts
    ) -> None:
        self._index = index
        self._sparse = sparse
        self._embedder = embedder
        self._visibility = visibility
        self._texts = texts

    def search(self, request: SearchRequest) -> SearchResult:
        """Raises `QueryError` for a question that cannot be searched for; no hits is not an error."""
        _check(request)
        clock = _Clock()
        sparse = self._sparse.query(request.query) if request.mode is not Mode.DENSE else None
        dense = self._embedder.query(request.query) if request.mode is not Mode.BM25 else None
        clock.lap("embed")
        found = self._look(request, sparse, dense, clock)
        if found.passed_over and self._hidden(request) != found.scope.hidden_versions:
            # A document was replaced between the two questions to the catalog: its old version is not shown any more,
            # and its new one was hidden from the engine.
            found = self._look(request, sparse, dense, clock)
        hits = self._hits(found)
        clock.lap("read")
        return SearchResult(hits, clock.laps())

    def _look(
        self, request: SearchRequest, sparse: SparseVector | None, dense: DenseVector | None, clock: "_Clock"
    ) -> "_Found":
        scope = Scope(request.tenant_id, request.collections, request.documents, self._hidden(request))
        depth = max(_CANDIDATES, request.top_k * (1 if request.per_document is None else 4))
        by_bm25, by_dense = self._index.search(scope, sparse=sparse, dense=dense, limit=depth)
        clock.lap("engine")
        found = self._choose(scope, by_bm25, by_dense, request)
        clock.lap("fuse")
        return found

    def _hidden(self, request: SearchRequest) -> tuple[str, ...]:
        return tuple(self._visibility.hidden_versions(request.tenant_id))

    def _hits(self, found: "_Found") -> tuple[Hit, ...]:
        """With their texts. What was deleted a moment ago has none any more, and is not a hit."""
        why = {"bm25": _why(found.by_bm25), "dense": _why(found.by_dense)}
        cosines = {hit.id: hit.score for hit in found.by_dense}
        hits: list[Hit] = []
        for chunk, visible, score in found.chosen:
            try:
                passage = self._passage(chunk, visible, len(hits) + 1, score, cosines.get(chunk.id))
            except KeyError:
                continue
            reasons = {name: ranks[chunk.id] for name, ranks in why.items() if chunk.id in ranks}
            hits.append(Hit(chunk.id, passage, visible.collection, reasons))
        return tuple(hits)

    def page_of(self, version_id: str, offset: int) -> int | None:
        """The page of a code point: a passage may begin on one page and be quoted on the next."""
        return self._texts.map(version_id).page_of(offset)

    def bare(self, scope: Scope, query: str, *, limit: int) -> int:
        """Only the encoder's and the engine's own work for a hybrid query, the yardstick of `leadline bench search`."""
        return self._index.fused(
            scope, sparse=self._sparse.query(query), dense=self._embedder.query(query), limit=limit, depth=_CANDIDATES
        )

    def _choose(
        self, scope: Scope, by_bm25: Sequence[Scored], by_dense: Sequence[Scored], request: SearchRequest
    ) -> "_Found":
        """The best candidates that may be shown, under the per-document cap."""
        fused = _fuse(by_bm25, by_dense)
        found = _Found(scope, by_bm25, by_dense)
        taken: dict[str, int] = {}
        page = request.top_k * (1 if request.per_document is None else 3)
        for at in range(0, len(fused), page):
            some = fused[at : at + page]
            chunks = self._index.chunks(scope, [identifier for identifier, _ in some])
            shown = self._visibility.visible(request.tenant_id, {chunk.version_id for chunk in chunks.values()})
            for identifier, score in some:
                chunk = chunks.get(identifier)
                if chunk is None or chunk.version_id not in shown:
                    found.passed_over += 1
                    continue
                taken[chunk.document_id] = taken.get(chunk.document_id, 0) + 1
                if request.per_document is None or taken[chunk.document_id] <= request.per_document:
                    found.chosen.append((chunk, shown[chunk.version_id], score))
                if len(found.chosen) == request.top_k:
                    return found
        return found

    def _passage(self, chunk: IndexedChunk, visible: Visible, rank: int, score: float, cosine: float | None) -> Passage:
        return Passage(
            document_id=chunk.document_id,
            version_id=chunk.version_id,
            title=visible.title,
            heading_path=chunk.heading_path,
            start=chunk.start,
            end=chunk.end,
            page=chunk.page,
            text=self._texts.read_bytes(chunk.version_id, chunk.byte_start, chunk.byte_end),
            rank=rank,
            score=score,
            cosine=cosine,
        )


@dataclass
class _Found:
    """What one look at the index found, what of it may be shown, and how many candidates may not."""

    scope: Scope
    by_bm25: Sequence[Scored]
    by_dense: Sequence[Scored]
    chosen: list[tuple[IndexedChunk, Visible, float]] = field(default_factory=list)
    passed_over: int = 0


def _check(request: SearchRequest) -> None:
    if not request.query.strip():
        raise QueryError("The query is empty.")
    if len(request.query) > MAX_QUERY_CHARS:
        raise QueryError(
            f"The query has {len(request.query):,} characters, and the limit is {MAX_QUERY_CHARS:,}.",
            hint="Shorten it, or upload the text as a document and ask about it.",
        )
    if not 1 <= request.top_k <= MAX_TOP_K:
        raise QueryError(f"top_k is {request.top_k}.", hint=f"Give a number from 1 to {MAX_TOP_K}.")
    if request.per_document is not None and request.per_document < 1:
        raise QueryError(f"per_document is {request.per_document}.", hint="Give 1 or more, or leave it out.")


def _fuse(by_bm25: Sequence[Scored], by_dense: Sequence[Scored]) -> list[tuple[str, float]]:
    """One retriever's own order and scores, or both fused."""
    if not by_dense or not by_bm25:
        return [(hit.id, hit.score) for hit in (*by_bm25, *by_dense)]
    return reciprocal_rank_fusion([[hit.id for hit in by_bm25], [hit.id for hit in by_dense]])


def _why(hits: Sequence[Scored]) -> dict[str, Why]:
    return {hit.id: Why(rank, hit.score) for rank, hit in enumerate(hits, start=1)}


class _Clock:
    def __init__(self) -> None:
        self._begun = self._last = time.perf_counter()
        self._laps: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._laps[stage] = round(self._laps.get(stage, 0.0) + (now - self._last) * 1000, 3)
        self._last = now

    def laps(self) -> dict[str, float]:
        return {**self._laps, "total": round((self._last - self._begun) * 1000, 3)}
