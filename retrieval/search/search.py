"""Search: find ranked hits with their text for a question, and time every stage.

query → BM25 and dense prefetch in one engine call, filtered by tenant, readers, active versions and documents → fusion
→ feedback from the best passage, if requested → documents whose cards match ranked higher, if documents resemble each
other → reranking, if there is a reranker → diversity → visibility, readers and filters checked against the catalog,
limit per document, grouping → text, expanded and merged.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from ingest.storage.documents.catalog import VisibleVersion
from ingest.storage.documents.filters import parse_conditions
from ingest.storage.errors import ContentChangedError
from ingest.storage.tables.places import Location, SpanLocator, TableReader
from ingest.storage.texts.chunks import Chunk, build_context_line
from ingest.storage.texts.texts import Texts
from retrieval.encoders.port import Embedder, compute_cosine_floor
from retrieval.errors import IndexUnavailableError, QueryError
from retrieval.index.bm25 import SparseEncoder, find_matched_words
from retrieval.index.generations import Generations, OpenGeneration
from retrieval.index.port import IndexReader, ScoredChunk, SearchScope
from retrieval.rerank.port import CorpusSnapshot
from retrieval.search.cards import CardRanker
from retrieval.search.choosing import SelectedChunk, VisibleLookup, select_hits
from retrieval.search.documents import lift_documents
from retrieval.search.expansion import ChunkRange, find_common_headings, merge_ranges, widen_chunk
from retrieval.search.loaded_chunks import LoadedChunks
from retrieval.search.metadata_filter import MetadataFilter, select_allowed_keys
from retrieval.search.ranking import (
    CANDIDATES,
    QueryVectors,
    Ranking,
    Stopwatch,
    diversify_ranking,
    rank_chunks_for_queries,
)
from retrieval.search.requests import (
    MAX_QUERY_CHARS,
    MAX_TOP_K,
    ExtraQuery,
    Fusion,
    Mode,
    Passage,
    SearchRequest,
    check_request,
)
from retrieval.search.reranking import Reranking, RerankOutcome
from retrieval.search.visibility import CatalogView

__all__ = [
    "MAX_QUERY_CHARS",
    "MAX_TOP_K",
    "Hit",
    "Mode",
    "SearchPort",
    "SearchRequest",
    "SearchResult",
    "Searcher",
]


@dataclass(frozen=True)
class RetrieverRank:
    """A hit's rank (from 1) and score by one retriever that found it."""

    rank: int
    score: float


@dataclass(frozen=True)
class Hit:
    """A passage and the rankings that found it, as `why`.

    The keys of `why` are `bm25`, `dense`, `feedback` (the dense ranking after feedback), `document` (how well the
    passage's document matches the query) and `rerank` (the reranker's ranking). In a search with several queries, these
    rankings are the first query's, and `query_0`, `query_1` and so on are the rankings of each query. `matched` are the
    query's words that occur in the passage, in any inflection, and `merged` are the chunks that were merged into it.
    Both are set only if requested.
    """

    chunk_id: str
    passage: Passage
    collection: str
    why: Mapping[str, RetrieverRank]
    matched: tuple[str, ...] = ()
    merged: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnreadableDocument:
    """A document that was found but is not among the hits, because its stored text is missing or was changed."""

    document_id: str
    title: str


@dataclass(frozen=True)
class SearchResult:
    """Hits, best first, and the duration of each stage in milliseconds.

    The stages are `embed`, `filter`, `engine`, `fuse`, `feedback`, `documents`, `rerank`, `diversify`, `show` and
    `read`, if they ran, and `total`; a search through the cache adds `cache`. `reranked` is None if no reranker was
    used. `generation` is the index generation that was searched, or 0 if none was. `cached` is True if the result came
    from the cache. `unreadable` are documents that were found but could not be read.
    """

    hits: tuple[Hit, ...]
    timings_ms: Mapping[str, float] = field(default_factory=dict)
    reranked: RerankOutcome | None = None
    generation: int = 0
    cached: bool = False
    unreadable: tuple[UnreadableDocument, ...] = ()


class SearchPort(Protocol):
    """The interface of search, for callers that do not need to know about caching."""

    def search(self, request: SearchRequest) -> SearchResult:
        """Search for passages. Raises `QueryError` if the request is invalid, but no error if nothing is found."""

    def locate(self, version_id: str, start: int, end: int) -> Location:
        """Return the location of a span in its file.

        Quotations need their own location, because a quotation may be on a later page than the start of its passage.
        """


class Searcher:
    """Searches one index for all tenants. The tenant is part of every request and of every query to the index."""

    def __init__(
        self,
        generations: Generations,
        visibility: CatalogView,
        texts: Texts,
        reranking: Reranking | None = None,
        tables: TableReader | None = None,
        *,
        cards: CardRanker | None = None,
        on_no_hits: Callable[[str], None] = lambda tenant_id: None,
    ) -> None:
        """Store the dependencies.

        Without `cards`, documents are not lifted. `on_no_hits` is called with the tenant after each search without
        hits. It raises `IndexLostError` if there are no hits because the index has lost its chunks.
        """
        self._cards = cards
        self._found_nothing = on_no_hits
        self.generations = generations
        self._visibility = visibility
        self._texts = texts
        self._places = SpanLocator(texts, tables)
        self._reranking = reranking
        self._floors: dict[str, float] = {}

    @property
    def generation(self) -> int:
        """The index generation that a search would currently use."""
        with self.generations.use_active_generation() as made:
            return made.id

    def search(self, request: SearchRequest) -> SearchResult:
        check_request(request)
        if request.rerank and self._reranking is None:
            raise QueryError(
                "No reranker is configured.", hint="Set LEADLINE_RERANKER for the service, or search without `rerank`."
            )
        clock = Stopwatch()
        filters = self._build_filters(request)
        if filters is not None:
            clock.record_lap("filter")
            if filters.is_short and not filters.documents:
                return SearchResult((), clock.get_laps())
        with self.generations.use_active_generation() as made:
            try:
                found = self._search_generation(made, request, filters, clock)
            except IndexUnavailableError:
                if not self.generations.is_superseded(made):
                    raise
                # The generation was discarded during this search, so search the new one.
                with self.generations.use_active_generation() as made:
                    found = self._search_generation(made, request, filters, clock)
        hits, unreadable = self._build_hits(found, request, made.sparse)
        if not hits and not unreadable:
            # guard: lost-index-search
            self._found_nothing(request.tenant_id)
        clock.record_lap("read")
        return SearchResult(hits, clock.get_laps(), found.reranked, made.id, unreadable=unreadable)

    def _search_generation(
        self, generation: OpenGeneration, request: SearchRequest, filters: MetadataFilter | None, stopwatch: Stopwatch
    ) -> "_SearchOutcome":
        """Search one index generation, with the query encoded by that generation's encoders."""
        asked = (ExtraQuery(request.query, request.mode), *request.also)
        queries = [
            QueryVectors(
                each.query,
                generation.sparse.encode_query(each.query) if each.mode is not Mode.DENSE else None,
                generation.encoder.embed_query(each.query) if each.mode is not Mode.BM25 else None,
            )
            for each in asked
        ]
        floor = self._get_cosine_floor(generation.encoder) if any(query.dense is not None for query in queries) else 0.0
        stopwatch.record_lap("embed")
        found = self._rank_and_select_hits(generation, request, filters, queries, floor, stopwatch)
        hidden = self._list_hidden_versions(request)
        if set(found.scope.hidden_versions).difference(hidden) or (
            found.passed_over and hidden != found.scope.hidden_versions
        ):
            # Search again, because the index query excluded too many or too few versions: a document was replaced
            # during the search or since the hidden versions were last read.
            found = self._rank_and_select_hits(generation, request, filters, queries, floor, stopwatch)
        return found

    def _get_cosine_floor(self, encoder: Embedder) -> float:
        """Return the encoder's cosine floor, which is computed only once."""
        if encoder.fingerprint not in self._floors:
            self._floors[encoder.fingerprint] = compute_cosine_floor(encoder)
        return self._floors[encoder.fingerprint]

    def _build_filters(self, request: SearchRequest) -> MetadataFilter | None:
        """Build the request's metadata filter, or return None if it has no filters.

        Raises `FilterError` if a filter is invalid.
        """
        if not request.filters:
            return None
        return MetadataFilter(self._visibility, request.tenant_id, parse_conditions(request.filters), request.documents)

    def _build_scope(self, request: SearchRequest, filters: MetadataFilter | None) -> SearchScope:
        """Build the scope of a search's index queries."""
        documents = request.documents if filters is None else filters.documents
        readers = request.readers
        if readers is not None and not self._visibility.has_access_lists(request.tenant_id):
            # A search without a filter by readers is faster. It is safe, because the catalog is checked again before
            # hits are returned.
            readers = None
        hidden, closed = self._list_hidden_versions(request), tuple(sorted(self._list_closed_collections(request)))
        return SearchScope(request.tenant_id, request.collections, documents, hidden, readers, closed)

    def _list_closed_collections(self, request: SearchRequest) -> Collection[str]:
        """Return the collections that the principal may not see."""
        if request.readers is None:
            return ()
        # guard: grants-in-searches
        return self._visibility.list_hidden_collections(request.tenant_id, request.readers)

    def _build_lookup(self, request: SearchRequest, filters: MetadataFilter | None) -> VisibleLookup:
        """Build the function that returns the versions this principal may see, within the request's filters.

        The function queries the catalog, which is authoritative, because changes of readers and collections reach the
        index with a delay.
        """

        def find_visible(tenant_id: str, version_ids: Collection[str]) -> Mapping[str, VisibleVersion]:
            found = self._visibility.find_visible_versions(tenant_id, version_ids)
            closed = self._list_closed_collections(request)
            shown = {
                version: each
                for version, each in found.items()
                # guard: readers-after-search
                if each.is_visible_to(request.readers) and each.collection not in closed
                # guard: moved-documents-after-search
                if not request.collections or each.collection in request.collections
            }
            left = select_allowed_keys(filters, {version: each.document_id for version, each in shown.items()})
            return {version: each for version, each in shown.items() if version in left}

        return find_visible

    def _rank_and_select_hits(
        self,
        generation: OpenGeneration,
        request: SearchRequest,
        filters: MetadataFilter | None,
        queries: Sequence[QueryVectors],
        cosine_floor: float,
        stopwatch: Stopwatch,
    ) -> "_SearchOutcome":
        scope, show = self._build_scope(request, filters), self._build_lookup(request, filters)
        index = LoadedChunks(generation.index, scope)
        reranks = self._reranking is not None and self._reranking.should_rerank(request)
        ranking = rank_chunks_for_queries(
            index if filters is None else filters.wrap_index(index),
            scope,
            queries,
            depth=max(CANDIDATES, request.top_k * (1 if request.max_per_document is None else 4)),
            fusion=request.fusion,
            use_feedback=request.feedback,
            cosine_floor=cosine_floor,
            stopwatch=stopwatch,
            lift=self._build_lift(index, show, scope, request),
        )
        unshown, reranked = 0, None
        if self._reranking is not None and reranks:
            # Read the corpus version before the passages. If the corpus changes in the meantime, cached vectors of the
            # old texts cannot be found under the new version.
            corpus = CorpusSnapshot(
                request.tenant_id, self._visibility.load_corpus_version(request.tenant_id), generation.id
            )
            passages, unshown = self._load_passages(index, show, scope, ranking, request)
            ranking, reranked = self._reranking.rerank_candidates(request.query, ranking, passages, corpus)
            stopwatch.record_lap("rerank")
        if request.diversity:
            # The reranker's scores have a different scale from the scores of the remaining candidates.
            count = len(ranking.by_rerank) or CANDIDATES
            ranking = diversify_ranking(index, ranking, diversity=request.diversity, chunk_count=count)
            stopwatch.record_lap("diversify")
        chosen, passed_over = select_hits(index, show, scope, ranking.best, request)
        # guard: refresh-hidden-versions
        if not ranking.best:  # The list of hidden versions may be outdated, because no versions were looked up.
            self._visibility.find_visible_versions(request.tenant_id, ())
        stopwatch.record_lap("show")
        return _SearchOutcome(scope, ranking, chosen, unshown + passed_over, reranked)

    def _build_lift(
        self, index: IndexReader, show: VisibleLookup, scope: SearchScope, request: SearchRequest
    ) -> Callable[[str, Ranking], Ranking] | None:
        """Build the function that lifts documents in the ranking of a query, or return None if this search lifts none.

        The scores of reciprocal rank fusion are on another scale, and within one document there is nothing to lift.
        """
        cards = self._cards
        if cards is None or request.fusion is not Fusion.CONVEX or len(scope.documents) == 1:
            return None

        def lift(query: str, ranking: Ranking) -> Ranking:
            return lift_documents(index, show, scope, query, ranking, cards)

        return lift

    def _load_passages(
        self, index: IndexReader, lookup: VisibleLookup, scope: SearchScope, ranking: Ranking, request: SearchRequest
    ) -> tuple[dict[str, str], int]:
        """Load the texts of the best candidates with their context, keyed by id.

        Also returns the number of candidates that must not be shown.
        """
        depth = request.rerank_depth or (self._reranking.depth if self._reranking else 0)
        best = replace(request, top_k=depth, per_document=None, grouped=False)
        chosen, unshown = select_hits(index, lookup, scope, ranking.best, best)
        passages: dict[str, str] = {}
        versions = [each.chunk.version_id for each in chosen]
        self._texts.preload_digests(versions)
        texts = self._texts.read_concurrently(self._try_read_chunk, chosen, versions)
        for each, text in zip(chosen, texts, strict=True):
            if text is not None:
                passages[each.chunk.id] = f"{build_context_line(each.visible.title, each.chunk.heading_path)}\n{text}"
        return passages, unshown

    def _try_read_chunk(self, selected_chunk: SelectedChunk) -> str | None:
        """Read the text of a chunk. Return None if it was just deleted or changed.

        The result of the search reports changed texts.
        """
        chunk = selected_chunk.chunk
        try:
            return self._texts.read_bytes(chunk.version_id, chunk.byte_start, chunk.byte_end)
        except (KeyError, ContentChangedError):
            return None

    def _list_hidden_versions(self, request: SearchRequest) -> tuple[str, ...]:
        return tuple(self._visibility.list_hidden_versions(request.tenant_id))

    def locate(self, version_id: str, start: int, end: int) -> Location:
        return self._places.locate_span(version_id, start, end)

    def _build_hits(
        self, outcome: "_SearchOutcome", request: SearchRequest, sparse_encoder: SparseEncoder
    ) -> tuple[tuple[Hit, ...], tuple[UnreadableDocument, ...]]:
        """Build the hits with their texts, and list the documents whose texts cannot be read.

        Chunks that were just deleted have no text and are omitted.
        """
        ranking = outcome.ranking
        rankings = {
            "bm25": ranking.by_bm25,
            "dense": ranking.by_dense,
            "feedback": ranking.by_feedback,
            "rerank": ranking.by_rerank,
            **{f"query_{number}": each for number, each in enumerate(ranking.by_query)},
        }
        wanted = {each.chunk.id for each in outcome.chosen}
        why = {name: _build_ranks(hits, wanted) for name, hits in rankings.items()}
        why["document"] = _list_document_ranks(ranking.by_document, wanted)
        hits: list[Hit] = []
        unreadable: dict[str, UnreadableDocument] = {}
        versions = [each.chunk.version_id for each in outcome.chosen]
        self._texts.preload_digests(versions)
        self._texts.start_loading_maps(versions)  # They are loaded while the texts are.
        spans = list(self._iter_hit_spans(outcome.chosen, request.expand_chars, unreadable))
        built = self._texts.read_concurrently(self._try_build_passage, spans, versions)
        for (chosen, _, merged), passage in zip(spans, built, strict=True):
            if isinstance(passage, ContentChangedError):
                _record_unreadable_document(chosen, unreadable)
            if not isinstance(passage, Passage):
                continue
            cosine = why["dense"].get(chosen.chunk.id)
            passage = replace(passage, rank=len(hits) + 1, cosine=cosine.score if cosine else None)
            reasons = {name: ranks[chosen.chunk.id] for name, ranks in why.items() if chosen.chunk.id in ranks}
            matched = _find_matched_words(sparse_encoder, request.query, passage) if request.explain else ()
            hits.append(Hit(chosen.chunk.id, passage, chosen.visible.collection, reasons, matched, merged))
        return tuple(hits), tuple(unreadable.values())

    def _iter_hit_spans(
        self,
        selected_chunks: Sequence[SelectedChunk],
        expand_chars: int | None,
        unreadable_documents: dict[str, UnreadableDocument],
    ) -> Iterable["_HitSpan"]:
        """Yield each hit with its expanded chunks (empty without expansion), and the ids of the hits merged into it.

        Documents whose maps cannot be read are added to `unreadable_documents`.
        """
        if expand_chars is None:
            yield from ((each, (), ()) for each in selected_chunks)
            return
        here: list[SelectedChunk] = []
        stretches: list[ChunkRange] = []
        chunks_of: dict[str, Sequence[Chunk]] = {}
        for each in selected_chunks:
            version = each.chunk.version_id
            try:
                chunks_of[version] = self._texts.load_map(version).chunks
            except KeyError:
                continue
            except ContentChangedError:
                _record_unreadable_document(each, unreadable_documents)
                continue
            here.append(each)
            stretches.append(widen_chunk(chunks_of[version], version, each.chunk.ordinal, max_chars=expand_chars))
        for stretch, positions in merge_ranges(stretches):
            chunks = chunks_of[stretch.version_id]
            others = tuple(here[position].chunk.id for position in positions[1:])
            yield here[positions[0]], chunks[stretch.first : stretch.last + 1], others

    def _try_build_passage(self, hit: "_HitSpan") -> Passage | ContentChangedError | None:
        """Build a hit's passage. Return None if the chunk was just deleted, or the error if its text was changed."""
        selected_chunk, span, _ = hit
        try:
            return self._build_passage(selected_chunk, span)
        except KeyError:
            return None
        except ContentChangedError as error:
            return error

    def _build_passage(self, selected_chunk: SelectedChunk, span: Sequence[Chunk]) -> Passage:
        """Build a passage, not yet ranked, from a chunk, or from the `span` of chunks around it with their common
        headings.
        """
        chunk = selected_chunk.chunk
        start, end, heading_path = chunk.start, chunk.end, chunk.heading_path
        if span:
            start, end = span[0].start, span[-1].end
            heading_path = find_common_headings(span)
            text = self._texts.read(chunk.version_id, start, end)
        else:
            text = self._texts.read_bytes(chunk.version_id, chunk.byte_start, chunk.byte_end)
        location = self.locate(chunk.version_id, start, end)
        return Passage(
            document_id=chunk.document_id,
            version_id=chunk.version_id,
            title=selected_chunk.visible.title,
            heading_path=heading_path,
            start=start,
            end=end,
            page=location.page,
            text=text,
            rank=0,
            score=selected_chunk.score,
            place=location.words,
            table_header=self._places.load_table_header(chunk.version_id, start),
        )


_HitSpan = tuple[SelectedChunk, Sequence[Chunk], tuple[str, ...]]


@dataclass(frozen=True)
class _SearchOutcome:
    """The outcome of one index search: the visible candidates, and the number of hidden candidates."""

    scope: SearchScope
    ranking: Ranking
    chosen: Sequence[SelectedChunk]
    passed_over: int
    reranked: RerankOutcome | None = None


def _record_unreadable_document(
    selected_chunk: SelectedChunk, unreadable_documents: dict[str, UnreadableDocument]
) -> None:
    document = selected_chunk.chunk.document_id
    unreadable_documents[document] = UnreadableDocument(document, selected_chunk.visible.title)


def _build_ranks(hits: Sequence[ScoredChunk], chunk_ids: Collection[str]) -> dict[str, RetrieverRank]:
    return {hit.id: RetrieverRank(rank, hit.score) for rank, hit in enumerate(hits, start=1) if hit.id in chunk_ids}


def _list_document_ranks(hits: Sequence[ScoredChunk], wanted: Collection[str]) -> dict[str, RetrieverRank]:
    """Return the rank of each chunk's document. The chunks of a document have the same score and the same rank."""
    ranks = {score: rank for rank, score in enumerate(dict.fromkeys(hit.score for hit in hits), start=1)}
    return {hit.id: RetrieverRank(ranks[hit.score], hit.score) for hit in hits if hit.id in wanted}


def _find_matched_words(sparse_encoder: SparseEncoder, query: str, passage: Passage) -> tuple[str, ...]:
    return find_matched_words(sparse_encoder, query, "\n".join((passage.title, *passage.heading_path, passage.text)))
