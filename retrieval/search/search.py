"""Search: question in, ranked hits with their text out, every stage timed.

query → BM25 and dense prefetch in one engine call, filtered by tenant, readers, active versions and documents → fusion
→ feedback from the best passage, if asked → reranking, where there is a reranker → diversity → visibility, readers and
filters checked against the catalog, per-document cap, grouping → text, widened and merged.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ingest.storage.documents.catalog import Visible
from ingest.storage.documents.filters import conditions
from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.places import Location, Places, TableRows
from ingest.storage.texts.chunks import Chunk, context_line
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import Embedder, cosine_floor
from retrieval.errors import IndexUnavailableError, QueryError
from retrieval.index.bm25 import SparseEncoder, matched_words
from retrieval.index.generations import Generations, OpenGeneration
from retrieval.index.port import IndexReader, Scope, Scored
from retrieval.rerank.port import Corpus
from retrieval.search.choosing import Chosen, Show, choose
from retrieval.search.expansion import Stretch, headings_of_all, merge, widen
from retrieval.search.metadata_filter import MetadataFilter, allowed
from retrieval.search.ranking import CANDIDATES, Clock, QueryVectors, Ranking, diversify, rank_all
from retrieval.search.requests import MAX_QUERY_CHARS, MAX_TOP_K, Also, Mode, Passage, SearchRequest, check
from retrieval.search.reranking import Reranked, Reranking
from retrieval.search.visibility import CatalogView

__all__ = [
    "MAX_QUERY_CHARS",
    "MAX_TOP_K",
    "Hit",
    "Mode",
    "SearchRequest",
    "SearchResult",
    "Searcher",
    "Searches",
]


@dataclass(frozen=True)
class Why:
    """A hit's rank (from 1) and score by one retriever; absent where the retriever did not find the hit."""

    rank: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A passage and how it was found. `why` is keyed by ranking: `bm25`, `dense`, `feedback` and `rerank`.

    `feedback` is the dense ranking by the query that the best passage has moved, and `rerank` the reranker's ranking.
    In a search with several queries these are the first query's, and `query_0`, `query_1` and so on are the rankings of
    each query. `matched` are the query's words that the passage has, in any inflection, and `merged` the chunks that
    became part of it; both only if they were asked for.
    """

    chunk_id: str
    passage: Passage
    collection: str
    why: Mapping[str, Why]
    matched: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """A document that was found, and whose stored text was changed or is missing: none of it is a hit."""

    document_id: str
    title: str


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first, and milliseconds by stage.

    The stages are `embed`, `filter`, `engine`, `fuse`, `feedback`, `rerank`, `diversify`, `show`, `read`, if there was
    something to do, and `total`; a search through the cache adds `cache`. `reranked` is None if no reranker was asked.
    `generation` is the number of the index generation searched, 0 if none was. `cached` is True for a result that was
    found in the cache. `unreadable` are the documents that were found and could not be read.
    """

    hits: tuple[Hit, ...]
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    reranked: Reranked | None = None
    generation: int = 0
    cached: bool = False
    unreadable: tuple[Unreadable, ...] = ()


class Searches(Protocol):
    """The port for code that answers with search results."""

    def search(self, request: SearchRequest) -> SearchResult:
        """Search. Raises `QueryError` for a question that cannot be searched for; no hits is not an error."""

    def locate(self, version_id: str, start: int, end: int) -> Location:
        """Return the place of a span: a passage may begin on one page and be quoted on the next."""


class Searcher:
    """Searches one index for every tenant; the tenant is part of each request and of every query sent."""

    def __init__(
        self,
        generations: Generations,
        visibility: CatalogView,
        texts: Texts,
        reranking: Reranking | None = None,
        tables: TableRows | None = None,
        *,
        found_nothing: Callable[[str], None] = lambda tenant_id: None,
    ) -> None:
        """Keep the parts.

        `found_nothing` is called with the tenant of each search without hits, and raises `IndexLostError` if there
        are none because the index has lost them.
        """
        self._found_nothing = found_nothing
        self.generations = generations
        self._visibility = visibility
        self._texts = texts
        self._places = Places(texts, tables)
        self._reranking = reranking
        self._floors: dict[str, float] = {}

    @property
    def generation(self) -> int:
        """The index generation that a search beginning now would use."""
        with self.generations.active() as made:
            return made.id

    def search(self, request: SearchRequest) -> SearchResult:
        check(request)
        if request.rerank and self._reranking is None:
            raise QueryError("There is no reranker.", hint="Start the service with LEADLINE_RERANKER, or leave it out.")
        clock = Clock()
        filters = self._filters(request)
        if filters is not None:
            clock.lap("filter")
            if filters.is_short and not filters.documents:
                return SearchResult((), clock.laps())
        with self.generations.active() as made:
            try:
                found = self._find(made, request, filters, clock)
            except IndexUnavailableError:
                if not self.generations.has_left(made):
                    raise
                with self.generations.active() as made:  # the previous one was discarded during this search
                    found = self._find(made, request, filters, clock)
        hits, unreadable = self._hits(found, request, made.sparse)
        if not hits and not unreadable:
            # guard: lost-index-search
            self._found_nothing(request.tenant_id)
        clock.lap("read")
        return SearchResult(hits, clock.laps(), found.reranked, made.id, unreadable=unreadable)

    def _find(
        self, made: OpenGeneration, request: SearchRequest, filters: MetadataFilter | None, clock: Clock
    ) -> "_Found":
        """Search one generation of the index, with a query from that generation's encoder."""
        asked = (Also(request.query, request.mode), *request.also)
        queries = [
            QueryVectors(
                made.sparse.query(each.query) if each.mode is not Mode.DENSE else None,
                made.encoder.query(each.query) if each.mode is not Mode.BM25 else None,
            )
            for each in asked
        ]
        floor = self._floor(made.encoder) if any(query.dense is not None for query in queries) else 0.0
        clock.lap("embed")
        found = self._look(made, request, filters, queries, floor, clock)
        hidden = self._hidden(request)
        if set(found.scope.hidden_versions).difference(hidden) or (
            found.passed_over and hidden != found.scope.hidden_versions
        ):
            # The engine was told too many or too few hidden versions: a document was replaced meanwhile, or since the
            # hidden versions were last asked for.
            found = self._look(made, request, filters, queries, floor, clock)
        return found

    def _floor(self, encoder: Embedder) -> float:
        """Return the least cosine of an encoder, which is measured once."""
        if encoder.fingerprint not in self._floors:
            self._floors[encoder.fingerprint] = cosine_floor(encoder)
        return self._floors[encoder.fingerprint]

    def _filters(self, request: SearchRequest) -> MetadataFilter | None:
        """Return the request's filters, with the documents that they leave if these are few. Raises `FilterError`."""
        if not request.filters:
            return None
        return MetadataFilter(self._visibility, request.tenant_id, conditions(request.filters), request.documents)

    def _scope(self, request: SearchRequest, filters: MetadataFilter | None) -> Scope:
        """Return the scope of every query of a search."""
        documents = request.documents if filters is None else filters.documents
        readers = request.readers
        if readers is not None and not self._visibility.has_access_lists(request.tenant_id):
            readers = None  # which is quicker; what was closed a moment ago is not shown either
        hidden, closed = self._hidden(request), tuple(sorted(self._closed(request)))
        return Scope(request.tenant_id, request.collections, documents, hidden, readers, closed)

    def _closed(self, request: SearchRequest) -> Collection[str]:
        """Return the collections that are closed to the principal."""
        if request.readers is None:
            return ()
        # guard: grants-in-searches
        return self._visibility.closed_collections(request.tenant_id, request.readers)

    def _shown(self, request: SearchRequest, filters: MetadataFilter | None) -> Show:
        """Return what may be shown of versions, by the catalog as it is now: to this principal, within its filters.

        The index has learnt of a change of readers a moment later than the catalog, or not yet; so this decides.
        """

        def show(tenant_id: str, version_ids: Collection[str]) -> Mapping[str, Visible]:
            found = self._visibility.visible(tenant_id, version_ids)
            closed = self._closed(request)
            shown = {
                version: each
                for version, each in found.items()
                # guard: readers-after-search
                if each.open_to(request.readers) and each.collection not in closed
            }
            left = allowed(filters, {version: each.document_id for version, each in shown.items()})
            return {version: each for version, each in shown.items() if version in left}

        return show

    def _look(
        self,
        made: OpenGeneration,
        request: SearchRequest,
        filters: MetadataFilter | None,
        queries: Sequence[QueryVectors],
        floor: float,
        clock: Clock,
    ) -> "_Found":
        index, scope, show = made.index, self._scope(request, filters), self._shown(request, filters)
        reranks = self._reranking is not None and self._reranking.reads_for(request)
        ranking = rank_all(
            index if filters is None else filters.over(index),
            scope,
            queries,
            depth=max(CANDIDATES, request.top_k * (1 if request.document_cap is None else 4)),
            fusion=request.fusion,
            feedback=request.feedback,
            floor=floor,
            clock=clock,
        )
        unshown, reranked = 0, None
        if self._reranking is not None and reranks:
            # Read before the passages: after a change meanwhile, nothing of them is found under the new number.
            corpus = Corpus(request.tenant_id, self._visibility.corpus_version(request.tenant_id), made.id)
            passages, unshown = self._passages(index, show, scope, ranking, request)
            ranking, reranked = self._reranking.rerank(request.query, ranking, passages, corpus)
            clock.lap("rerank")
        if request.diversity:
            # A reranker's scores and the scores behind them are on different scales.
            count = len(ranking.by_rerank) or CANDIDATES
            ranking = diversify(index, ranking, diversity=request.diversity, count=count)
            clock.lap("diversify")
        chosen, passed_over = choose(index, show, scope, ranking.best, request)
        # guard: refresh-hidden-versions
        if not ranking.best:  # nothing was looked up, so what is known of hidden versions may be old
            self._visibility.visible(request.tenant_id, ())
        clock.lap("show")
        return _Found(scope, ranking, chosen, unshown + passed_over, reranked)

    def _passages(
        self, index: IndexReader, show: Show, scope: Scope, ranking: Ranking, request: SearchRequest
    ) -> tuple[dict[str, str], int]:
        """Return the texts, with context, of the best candidates that may be shown, by id, and how many may not be."""
        depth = request.rerank_depth or (self._reranking.depth if self._reranking else 0)
        best = replace(request, top_k=depth, per_document=None, grouped=False)
        chosen, unshown = choose(index, show, scope, ranking.best, best)
        passages: dict[str, str] = {}
        self._texts.expect([each.chunk.version_id for each in chosen])
        for each in chosen:
            chunk = each.chunk
            try:
                text = self._texts.read_bytes(chunk.version_id, chunk.byte_start, chunk.byte_end)
            except (KeyError, ContentChangedError):  # deleted a moment ago, or changed, as the result then says
                continue
            passages[chunk.id] = f"{context_line(each.visible.title, chunk.heading_path)}\n{text}"
        return passages, unshown

    def _hidden(self, request: SearchRequest) -> tuple[str, ...]:
        return tuple(self._visibility.hidden_versions(request.tenant_id))

    def locate(self, version_id: str, start: int, end: int) -> Location:
        return self._places.locate(version_id, start, end)

    def _hits(
        self, found: "_Found", request: SearchRequest, sparse: SparseEncoder
    ) -> tuple[tuple[Hit, ...], tuple[Unreadable, ...]]:
        """Return the hits with their texts, and the documents whose texts cannot be read.

        A chunk deleted a moment ago has no text any more, and is not a hit.
        """
        ranking = found.ranking
        rankings = {
            "bm25": ranking.by_bm25,
            "dense": ranking.by_dense,
            "feedback": ranking.by_feedback,
            "rerank": ranking.by_rerank,
            **{f"query_{number}": each for number, each in enumerate(ranking.by_query)},
        }
        wanted = {each.chunk.id for each in found.chosen}
        why = {name: _why(hits, wanted) for name, hits in rankings.items()}
        hits: list[Hit] = []
        unreadable: dict[str, Unreadable] = {}
        self._texts.expect([each.chunk.version_id for each in found.chosen])
        for chosen, span, merged in self._spans(found.chosen, request.expand_chars, unreadable):
            cosine = why["dense"].get(chosen.chunk.id)
            try:
                passage = self._passage(chosen, span, len(hits) + 1, cosine.score if cosine else None)
            except KeyError:
                continue
            except ContentChangedError:
                _note(chosen, unreadable)
                continue
            reasons = {name: ranks[chosen.chunk.id] for name, ranks in why.items() if chosen.chunk.id in ranks}
            matched = _matched(sparse, request.query, passage) if request.explain else ()
            hits.append(Hit(chosen.chunk.id, passage, chosen.visible.collection, reasons, matched, merged))
        return tuple(hits), tuple(unreadable.values())

    def _spans(
        self, chosen: Sequence[Chosen], expand_chars: int | None, unreadable: dict[str, Unreadable]
    ) -> Iterable[tuple[Chosen, Sequence[Chunk], tuple[str, ...]]]:
        """Yield each hit with the chunks that it is shown with, none if it is read alone, and the hits merged.

        Documents whose maps cannot be read are noted in `unreadable`.
        """
        if expand_chars is None:
            yield from ((each, (), ()) for each in chosen)
            return
        here: list[Chosen] = []
        stretches: list[Stretch] = []
        chunks_of: dict[str, Sequence[Chunk]] = {}
        for each in chosen:
            version = each.chunk.version_id
            try:
                chunks_of[version] = self._texts.map(version).chunks
            except KeyError:
                continue
            except ContentChangedError:
                _note(each, unreadable)
                continue
            here.append(each)
            stretches.append(widen(chunks_of[version], version, each.chunk.ordinal, max_chars=expand_chars))
        for stretch, positions in merge(stretches):
            chunks = chunks_of[stretch.version_id]
            others = tuple(here[position].chunk.id for position in positions[1:])
            yield here[positions[0]], chunks[stretch.first : stretch.last + 1], others

    def _passage(self, chosen: Chosen, span: Sequence[Chunk], rank: int, cosine: float | None) -> Passage:
        """Return the hit, or the `span` of chunks around it; over several sections it has the headings of them all."""
        chunk = chosen.chunk
        start, end, heading_path = chunk.start, chunk.end, chunk.heading_path
        if span:
            start, end = span[0].start, span[-1].end
            heading_path = headings_of_all(span)
            text = self._texts.read(chunk.version_id, start, end)
        else:
            text = self._texts.read_bytes(chunk.version_id, chunk.byte_start, chunk.byte_end)
        location = self.locate(chunk.version_id, start, end)
        return Passage(
            document_id=chunk.document_id,
            version_id=chunk.version_id,
            title=chosen.visible.title,
            heading_path=heading_path,
            start=start,
            end=end,
            page=location.page,
            text=text,
            rank=rank,
            score=chosen.score,
            cosine=cosine,
            place=location.words,
            table_header=self._places.table_header(chunk.version_id, start),
        )


@dataclass(frozen=True)
class _Found:
    """The result of one look at the index: the candidates that may be shown, and how many may not."""

    scope: Scope
    ranking: Ranking
    chosen: Sequence[Chosen]
    passed_over: int
    reranked: Reranked | None = None


def _note(chosen: Chosen, unreadable: dict[str, Unreadable]) -> None:
    document = chosen.chunk.document_id
    unreadable[document] = Unreadable(document, chosen.visible.title)


def _why(hits: Sequence[Scored], wanted: Collection[str]) -> dict[str, Why]:
    return {hit.id: Why(rank, hit.score) for rank, hit in enumerate(hits, start=1) if hit.id in wanted}


def _matched(sparse: SparseEncoder, query: str, passage: Passage) -> tuple[str, ...]:
    return matched_words(sparse, query, "\n".join((passage.title, *passage.heading_path, passage.text)))
